"""The command `tempotask-supervisor`: works off all queues, on every core."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any

import click
import msgspec
from setproctitle import setproctitle

from tempotask import names
from tempotask.cli import log_format, mistakes
from tempotask.cli.leaving import leave
from tempotask.durations import duration
from tempotask.errors import TempoTaskError
from tempotask.futures import permission


class _Start(msgspec.Struct):
    """What a program that starts a pool tells it, in $TEMPOTASK_START."""

    db: str | None = None
    namespace: str | None = None
    concurrency: int | None = None
    tasks: list[tuple[str, str]] = []
    allow_pickle: bool = False
    quiet: bool = False
    """Whether only warnings and worse are logged, and the program tells by itself why the pool did not start."""


@click.command("tempotask-supervisor", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("application")
@click.option("--db", metavar="URL", help="The server; else the application's, $TEMPOTASK_DB, the embedded one.")
@click.option("--namespace", metavar="NS", help="Keys live under it; else the application's.")
@click.option("--concurrency", type=click.IntRange(1, 4096), help="Worker processes; else one per core.")
@click.option("--drain", is_flag=True, help="End when nothing is left that would run now.")
@click.option("--lease", type=click.FloatRange(0.5), metavar="S", help="Seconds after which a silent host is lost.")
@click.option("--grace", type=click.FloatRange(0), metavar="S", help="Seconds that a stop waits for what runs.")
@click.option("--pin", is_flag=True, help="Keep each worker on a core of its own.")
@click.option("--nice", type=click.IntRange(0, 19), metavar="N", help="Niceness of the workers, 0 to 19.")
@click.option("--allow-pickle", is_flag=True, help="Run pickled calls that $TEMPOTASK_PICKLE_KEY has signed.")
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--report-fd", type=int, hidden=True)
def command(application: str, report_fd: int | None, **options: Any) -> None:
    """Runs APPLICATION (module:attribute, or script.py:attribute) with one worker process per core.

    TERM and INT stop gently, a second one at once. HUP takes up changed code.
    """
    # Before anything that takes long: the command line may hold a password.
    setproctitle(f"tempotask: supervisor {application}")
    mistakes.insist_on_folder()
    from tempotask.pool.pool import UnifiedWorkerPool
    from tempotask.pool.settings import Settings

    start = msgspec.json.decode(os.environ.pop("TEMPOTASK_START", "{}"), type=_Start)
    log_format.set_up(options.pop("log_format"), quiet=start.quiet)
    allow_pickle = options.pop("allow_pickle") or start.allow_pickle
    if options["namespace"] is not None:
        names.check_name("namespace", options["namespace"])
    for name, least in (("lease", 0.5), ("grace", 0.0)):
        if options[name] is not None:
            # What is no number passes as one in any range.
            duration(f"--{name}", options[name], least=least)
    settings = Settings(application, **{**options, "db": options["db"] or start.db})
    settings.namespace = settings.namespace or start.namespace
    settings.concurrency = settings.concurrency or start.concurrency
    settings.tasks = start.tasks
    if report_fd is not None:
        os.set_inheritable(report_fd, False)
        settings.watched_fd = sys.stdin.fileno()
        settings.ready = lambda: _report(report_fd, {"ready": True})
    try:
        permission.allow(allow_pickle)
        settings.places.check()
        pool = UnifiedWorkerPool(application)
        with contextlib.suppress(OSError):
            # It imports the application while we import the rest. What was refused is tried again, and told of then.
            pool.start()
        from tempotask.pool.supervisor import Supervisor

        leave(Supervisor(settings, pool).run())
    except TempoTaskError as error:
        if report_fd is not None:
            _report(report_fd, {"error": str(error), "kind": type(error).__name__})
            if start.quiet:
                sys.exit(2)
        raise


def _report(fd: int, told: dict[str, Any]) -> None:
    with os.fdopen(fd, "wb") as pipe:
        pipe.write(msgspec.json.encode(told) + b"\n")


def main() -> None:
    """Runs the command: exit status 2 when it could not start."""
    try:
        command.main(prog_name=command.name, standalone_mode=False)
    except click.UsageError as error:
        click.echo(mistakes.wrong_use(error, root=command), err=True)
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except TempoTaskError as error:
        # An application that fails at import brings its own traceback; the last line says what it was.
        *traceback, summary = str(error).splitlines()
        click.echo("\n".join([*traceback, f"{command.name}: {summary}"]), err=True)
        sys.exit(2)
