"""The command `tempotask`: looking at a namespace, and adding jobs to it.

Exit status: 0; 1 where the answer is no (an unknown job, a violation); 2 on bad use or a server that can't be used.
What a command needs is imported when it runs, so that `--help` and mistakes answer at once.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from tempotask.cli import mistakes, output

if TYPE_CHECKING:
    from tempotask.options import JobOptions
    from tempotask.store.store import Store

F = TypeVar("F", bound=Callable[..., Any])

LATER = (
    *("logs", "schedules", "events", "pause", "resume", "retry", "cancel", "delete"),
    *("map", "top", "stacks", "run-here"),
)
"""Commands that are promised and not built yet."""
LATER_OPTIONS = ("--repeat", "--cancel-grace")
LOOKING, ADDING = 3.0, 10.0
"""Seconds for which a server that is away is waited for."""


class Commands(click.Group):
    """A group that helps with mistyped names."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] in LATER:
            raise click.UsageError(f"{args[0]} is not built yet", ctx)
        if args and self.get_command(ctx, args[0]) is None:
            raise click.UsageError(f"there is no command {args[0]!r}; {_nearest(args[0], self.commands)}", ctx)
        return super().resolve_command(ctx, args)


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, [*known, *LATER], 1)
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="tempotask", prog_name="tempotask", message="%(prog)s %(version)s")
def cli() -> None:
    """Looks at the jobs of TempoTask, and adds some.

    Jobs are run by tempotask-supervisor.
    """


def everywhere(command: F) -> F:
    """The options of every command."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="One JSON object a line."),
        click.option("--namespace", default="tempotask", show_default=True, metavar="NS", help="Whose jobs."),
        click.option(
            "--db", metavar="URL", help="The server. Else $TEMPOTASK_DB, else the embedded one of this folder."
        ),
    ):
        command = option(command)
    return command


@contextmanager
def opened(db: str | None, namespace: str, patience: float = LOOKING) -> Iterator[Store]:
    """The store that the options name, whose server has answered."""
    from tempotask.names import check_name
    from tempotask.store.connect import resolve
    from tempotask.store.store import Store

    server = resolve(db, connect_timeout=patience)
    try:
        store = Store(server, check_name("namespace", namespace))
        server.check()
        yield store
    finally:
        server.close()


# -- looking


@cli.command()
@everywhere
def queues(db: str | None, namespace: str, as_json: bool) -> None:
    """Lists the queues."""
    from tempotask.store import look

    with opened(db, namespace) as store:
        rows = look.queues(store)
    if as_json:
        for row in rows:
            output.print_json(row)
        return
    numbers = look.QueueRow.__struct_fields__[2:]
    names = [field.removesuffix("_seconds") for field in look.QueueRow.__struct_fields__]
    output.print_table(names, [[getattr(row, field) for field in row.__struct_fields__] for row in rows], numbers)
    _say_if_empty(rows, "queues", store)


@cli.command()
@everywhere
@click.option("--queue", metavar="Q", help="Only of this queue.")
@click.option("--status", metavar="S", help="Only those waiting, delayed, processing, completed, failed or cancelled.")
@click.option("--name", metavar="N", help="Only of this task.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=50, show_default=True, metavar="N", help="At most so many."
)
def jobs(
    db: str | None, namespace: str, as_json: bool, queue: str | None, status: str | None, name: str | None, limit: int
) -> None:
    """Lists jobs, the newest first."""
    from tempotask.store import look

    with opened(db, namespace) as store:
        rows = [look.row(found) for found in look.jobs(store, queue, status, name, limit)[0]]
    if as_json:
        for row in rows:
            output.print_json(row)
        return
    columns = ("id", "name", "queue", "status", "tries", "at", "wait", "run", "worker", "error or result")
    output.print_table(
        columns,
        [
            (
                *(row.id, row.name, row.queue, row.status, row.tries),
                output.moment(row.finished_at or row.enqueued_at),
                *(row.wait_seconds, row.run_seconds, row.worker),
                row.result if row.error is None else row.error,
            )
            for row in rows
        ],
        numbers=("tries", "wait", "run"),
    )
    _say_if_empty(rows, "such jobs" if queue or status or name else "jobs", store)


@cli.command()
@everywhere
@click.argument("id")
def job(db: str | None, namespace: str, as_json: bool, id: str) -> None:
    """Shows one job."""
    from tempotask.cli.job import fields, report
    from tempotask.store import look

    with opened(db, namespace) as store:
        found = look.find(store, id)
        if found is None:
            where = f"namespace {namespace} at {store.server.label}"
            _end(1, f"nobody knows a job {id!r} in {where}; `tempotask jobs` lists the newest")
        if as_json:
            output.print_json(report(store, found))
        else:
            output.print_fields(fields(store, found))


@cli.command()
@everywhere
@click.option("--repair", "mend", is_flag=True, help="Mend what can be mended without guessing.")
def check(db: str | None, namespace: str, as_json: bool, mend: bool) -> None:
    """Proves that nothing is lost, doubled or miscounted."""
    from tempotask.store.check import check as violations_of
    from tempotask.store.repair import repair

    with opened(db, namespace, ADDING) as store:
        if mend:
            for line in repair(store):
                output.print_json({"mended": line}) if as_json else output.print_line(f"mended: {line}")
        violations = violations_of(store)
    for violation in violations:
        if as_json:
            output.print_json({"key": violation.key, "text": violation.text, "mendable": bool(violation.mend)})
        else:
            output.print_line(f"{violation.key} {violation.text}")
    where = f"namespace {namespace} at {store.server.label}"
    if violations:
        mendable = sum(bool(violation.mend) for violation in violations)
        hint = f"; --repair mends {mendable} of them" if mendable else ""
        _end(1, f"{where} has {len(violations)} violations{hint}")
    if as_json:
        output.print_json({"violations": 0, "namespace": namespace, "server": store.server.label})
    else:
        output.print_line(f"{where}: all is right")


@cli.command()
@everywhere
def server(db: str | None, namespace: str, as_json: bool) -> None:
    """Shows the server, and who works there."""
    from tempotask.cli.server import fields, report

    with opened(db, namespace) as store:
        told = report(store)
    output.print_json(told) if as_json else output.print_fields(fields(told))


# -- adding


def job_options(command: F) -> F:
    """The options of a job, by the names that `JobOptions` has for them."""
    seconds: dict[str, Any] = {"type": float, "metavar": "S"}
    for option in reversed(
        (
            click.option("--data", metavar="JSON", help="The payload; @FILE reads a file, @- the standard input."),
            click.option("--id", help="Its id; one that has not finished is not added again."),
            click.option("--priority", type=int, metavar="N", help="Higher first; 0 if left out."),
            click.option("--delay", help="Not before so many seconds from now.", **seconds),
            click.option("--delay-until", metavar="TIME", help="Not before, as in 2030-01-31T12:00:00+01:00."),
            click.option("--attempts", type=int, metavar="N", help="Tries in all."),
            click.option("--retry-delay", help="Seconds between two tries.", **seconds),
            click.option("--backoff", metavar="KIND", help="fixed or exponential."),
            click.option("--max-retry-delay", help="At most so many seconds between two tries.", **seconds),
            click.option("--timeout", help="Seconds that one try may take.", **seconds),
            click.option("--kill-after", help="Seconds after the time-out until its process is killed.", **seconds),
            click.option("--max-crashes", type=int, metavar="N", help="Crashes of its process until it fails."),
            click.option("--keep-result", help="Seconds that its outcome is kept.", **seconds),
        )
    ):
        command = option(command)
    return command


@cli.command()
@click.argument("queue")
@click.argument("name")
@everywhere
@job_options
def enqueue(
    db: str | None, namespace: str, as_json: bool, queue: str, name: str, data: str | None, **given: Any
) -> None:
    """Adds a job, and prints its id."""
    from tempotask.manager import QueueManager

    payload, options = _data(data), _options(given)
    with QueueManager.init(db, namespace=namespace, options={"connect_timeout": ADDING}) as manager:
        _print_added([manager.enqueue(name=name, queue=queue, data=payload, options=options)], as_json)


@cli.command()
@click.argument("name")
@click.argument("queues", nargs=-1, required=True, metavar="QUEUE...")
@everywhere
@job_options
def publish(
    db: str | None, namespace: str, as_json: bool, name: str, queues: tuple[str, ...], data: str | None, **given: Any
) -> None:
    """Adds a copy of a job to each queue, and prints their ids."""
    from tempotask.manager import QueueManager

    payload, options = _data(data), _options(given)
    with QueueManager.init(db, namespace=namespace, options={"connect_timeout": ADDING}) as manager:
        _print_added(manager.publish(name=name, queues=queues, data=payload, options=options), as_json)


def _data(given: str | None) -> Any:
    import msgspec

    if given is None:
        return None
    source, text = "--data", given.encode(errors="surrogateescape")
    if given.startswith("@"):
        source = "the standard input" if given == "@-" else given[1:]
        try:
            if given == "@-":
                text = sys.stdin.buffer.read()
            else:
                with open(given[1:], "rb") as file:
                    text = file.read()
        except OSError as error:
            _end(2, f"--data {given}: {error.strerror}; give @FILE, @- for the standard input, or JSON")
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError) as error:
        _end(2, f'{source} is no JSON ({error}); give it as in --data \'{{"path": "a.png"}}\' or --data \'"text"\'')


def _options(given: dict[str, Any]) -> JobOptions:
    from datetime import datetime

    from tempotask.errors import InvalidOptions
    from tempotask.options import JobOptions

    named = {name: value for name, value in given.items() if value is not None}
    if "delay_until" in named:
        try:
            named["delay_until"] = datetime.fromisoformat(named["delay_until"])
        except ValueError:
            raise InvalidOptions(
                f"--delay-until {named['delay_until']!r}: give a time with its zone, as in 2030-01-31T12:00:00+01:00"
            ) from None
    return JobOptions(**named)


def _print_added(handles: Sequence[Any], as_json: bool) -> None:

    for handle in handles:
        if as_json:
            output.print_json({"id": handle.id, "queue": handle.queue, "name": handle.name, "created": handle.created})
            continue
        output.print_line(handle.id)
        if not handle.created:
            _say(f"job {handle.id} has not finished; nothing was added")


# -- ending


def _say(line: str) -> None:

    click.echo(output.visible(line), err=True)


def _say_if_empty(rows: Sequence[object], what: str, store: Store) -> None:
    if not rows:
        _say(f"no {what} in namespace {store.namespace} at {store.server.label}")


def _end(status: int, line: str) -> NoReturn:
    _say(line if status == 1 else f"tempotask: {line}")
    raise click.exceptions.Exit(status)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs the command, and exits."""
    try:
        given = sys.argv[1:] if arguments is None else list(arguments)
        status = cli.main(given or ["--help"], prog_name="tempotask", standalone_mode=False)
        with output.reader_may_leave():
            sys.stdout.flush()
    except click.UsageError as error:
        click.echo(
            mistakes.wrong_use(
                error, LATER_OPTIONS, root=cli, hint="options come after the command, as in `tempotask queues --json`"
            ),
            err=True,
        )
        status = 2
    except (click.Abort, KeyboardInterrupt):
        status = 130
    except Exception as error:
        from tempotask.errors import TempoTaskError

        if not isinstance(error, TempoTaskError):
            raise
        _say(f"tempotask: {error}")
        status = 2
    sys.exit(status if isinstance(status, int) else 0)


if __name__ == "__main__":
    main()
