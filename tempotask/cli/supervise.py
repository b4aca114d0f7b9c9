"""The command `tempotask-supervisor`: works off all queues, on every core."""

from __future__ import annotations

import sys
from typing import Any

import click
from setproctitle import setproctitle

from tempotask import linux, names
from tempotask.cli import mistakes
from tempotask.durations import duration
from tempotask.errors import TempoTaskError
from tempotask.futures import permission


@click.command("tempotask-supervisor", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("application", callback=mistakes.insist_on_utf8)
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
@click.version_option(package_name="tempotask", message="%(prog)s %(version)s")
def command(application: str, **options: Any) -> None:
    """Runs APPLICATION (module:attribute, or script.py:attribute) with one worker process per core.

    TERM and INT stop gently, a second one at once. HUP takes up changed code.
    """
    # Before anything that takes long: the command line may hold a password.
    setproctitle(f"tempotask: supervisor {application}")
    mistakes.insist_on_folder()
    linux.insist()
    from tempotask.pool.settings import Settings
    from tempotask.pool.supervise import supervise

    if options["namespace"] is not None:
        names.check_name("namespace", options["namespace"])
    for name, least in (("lease", 0.5), ("grace", 0.0)):
        if options[name] is not None:
            # What is no number passes as one in any range.
            duration(f"--{name}", options[name], least=least)
    permission.allow(options.pop("allow_pickle"))
    supervise(Settings(application, **options))


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
