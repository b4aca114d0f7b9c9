"""`tempotask map`: a plain function, or a shell command, over lines, on every core."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import click

from tempotask.cli.command import options
from tempotask.cli.mistakes import insist_on_folder, insist_on_utf8

if TYPE_CHECKING:
    from tempotask.process import SupervisorProcess


@click.command("map")
@click.argument("function", required=False, callback=insist_on_utf8)
@click.argument("files", nargs=-1)
@options(
    click.option(
        "--shell",
        metavar="COMMAND",
        callback=insist_on_utf8,
        help="Run this instead of a function; {} {.} {/} {//} {/.} {#}.",
    ),
    click.option("-o", "--output", metavar="FILE", help="Where rows go, else, or with -, to the standard output."),
    click.option("--failed", metavar="FILE", help="Where failed inputs go, with the reason; else it is told."),
    click.option("--resume", is_flag=True, help="Go on with what is in the output FILE."),
    click.option("--ordered", is_flag=True, help="Rows in the order of the inputs."),
    click.option("--bare", is_flag=True, help="Rows are the result alone."),
    click.option("--jsonl", is_flag=True, help="Each line is JSON."),
    click.option("-0", "--null", is_flag=True, help="Inputs end with NUL, as of find -print0."),
    click.option("-j", "--concurrency", type=click.IntRange(1, 4096), metavar="N", help="Workers; else one a core."),
    click.option("--in-flight", type=click.IntRange(1), metavar="N", help="Inputs on their way at most."),
    click.option("--attempts", type=click.IntRange(1), default=1, metavar="N", help="Tries of each input."),
    click.option("--timeout", type=float, metavar="S", help="Seconds that a try may take."),
    click.option("--quiet", is_flag=True, help="Say nothing of how it goes."),
    click.option(
        "--db",
        metavar="URL",
        callback=insist_on_utf8,
        help="The server. Else $TEMPOTASK_DB, else the embedded one of this folder.",
    ),
    click.option("--namespace", metavar="NS", help="What the name of its own namespace begins with."),
    click.option("--json", "as_json", is_flag=True, help="What it says beside the rows is JSON too, an object a line."),
)
@click.pass_obj
def map_(
    pool: SupervisorProcess | None, /, function: str | None, files: tuple[str, ...], shell: str | None, **given: Any
) -> NoReturn:
    """Calls FUNCTION (module:function, or script.py:function) with each line of FILES, or of the standard input.

    Writes a row of JSON for each: {"index": 17, "input": "…", "result": …}. With --shell it runs a command for each,
    and all arguments are files.

    Exit status: 0 all done, 1 some failed, 2 bad use, 130 interrupted.
    """
    insist_on_folder()
    from tempotask.cli.mapping.arguments import Arguments
    from tempotask.cli.mapping.run import Command
    from tempotask.pool.leaving import leave

    if shell is not None and function is not None:
        files, function = (function, *files), None
    if given["output"] == "-":
        given["output"] = None
    arguments = Arguments(function=function or "", shell=shell or "", files=files, **given)
    arguments.check()
    leave(Command(arguments, pool).run())
