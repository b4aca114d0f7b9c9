"""The command `tempotask`: each of its commands stands in a file of its name, beside this one.

Exit status: 0; 1 where the answer is no (an unknown job, a violation); 2 on bad use or a server that can't be used.
What a command needs is imported when it runs, so that `--help` and mistakes answer at once.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

import click

from tempotask import names
from tempotask.cli import command, mistakes, output
from tempotask.cli.cancel import cancel
from tempotask.cli.check import check
from tempotask.cli.delete import delete
from tempotask.cli.enqueue import enqueue
from tempotask.cli.events import events
from tempotask.cli.job import job
from tempotask.cli.jobs import jobs
from tempotask.cli.logs import logs
from tempotask.cli.map import map_
from tempotask.cli.pause import pause
from tempotask.cli.publish import publish
from tempotask.cli.queues import queues
from tempotask.cli.resume import resume
from tempotask.cli.retry import retry
from tempotask.cli.run_here import run_here
from tempotask.cli.schedules import schedules
from tempotask.cli.server import server
from tempotask.cli.stacks import stacks
from tempotask.cli.top import top

if TYPE_CHECKING:
    from tempotask.process import SupervisorProcess


STARTS = ("run", "start", "supervisor", "work", "worker", "workers")
"""What others call the command that is one of its own here."""
MEANT = {
    "inspect": "stacks",
    "monitor": "top",
    "purge": "delete",
    "requeue": "retry",
    "rerun": "retry",
    "revoke": "cancel",
    "stats": "queues",
    "status": "queues",
}
"""What others call ours."""


class Commands(click.Group):
    """A group that helps with mistyped names."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and self.get_command(ctx, args[0]) is None:
            if args[0] in STARTS:
                raise click.UsageError("workers are started with `tempotask-supervisor app:tempotask`", ctx)
            raise click.UsageError(names.unknown("command", args[0], self.commands, MEANT), ctx)
        return super().resolve_command(ctx, args)


@click.group(
    "tempotask", cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(package_name="tempotask", prog_name="tempotask", message="%(prog)s %(version)s")
def cli() -> None:
    """Runs a function over many lines; looks at the jobs of TempoTask, adds some, and acts on them.

    Jobs are run by tempotask-supervisor, those of `tempotask map` by itself.
    """


for _command in (
    *(queues, jobs, job, logs, events, schedules, check, server, stacks, top),
    *(map_, enqueue, publish, pause, resume, retry, cancel, delete, run_here),
):
    cli.add_command(_command)


def retitle(given: Sequence[str]) -> None:
    """The command line may hold a password, and everybody can read it: only the command's name is left."""
    from setproctitle import setproctitle

    setproctitle(f"tempotask: {given[0]}" if given[0] in cli.commands else "tempotask")


def asks_for_help(given: Sequence[str]) -> bool:
    """Whether click prints what was asked for, and nothing else happens."""
    return not given or any(one in ("-h", "--help", "--version") for one in given)


def main(arguments: Sequence[str] | None = None, pool: SupervisorProcess | None = None) -> NoReturn:
    """Runs the command, and exits. `pool` is for a map, if it was started before."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        if sys.stdout is None:
            context = click.Context(cli, info_name="tempotask")
            raise click.UsageError("the standard output is closed; send it to /dev/null if nobody reads it", context)
        if arguments is None and any("://" in argument for argument in given):
            retitle(given)
        status = cli.main(given or ["--help"], prog_name="tempotask", standalone_mode=False, obj=pool)
        with output.reader_may_leave():
            sys.stdout.flush()
    except click.UsageError as error:
        hint = "options come after the command, as in `tempotask queues --json`"
        click.echo(mistakes.wrong_use(error, cli, given, hint), err=True)
        status = 2
    except (click.Abort, KeyboardInterrupt):
        status = 130
    except Exception as error:
        from redis import ResponseError

        from tempotask.errors import TempoTaskError

        if not isinstance(error, TempoTaskError | ResponseError):
            if not asks_for_help(given):
                raise
            # That click prints by itself, unlike all else.
            with output.reader_may_leave():
                raise
        hint = "; `tempotask check` names what is wrong in a namespace" if isinstance(error, ResponseError) else ""
        command.say(f"tempotask: {error}{hint}")
        status = 2
    sys.exit(status if isinstance(status, int) else 0)


if __name__ == "__main__":
    main()
