"""What all commands share: their options, the store that they open, and how they end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from tempotask.cli import output
from tempotask.errors import TempoTaskError

if TYPE_CHECKING:
    from tempotask.manager import QueueManager
    from tempotask.store.look import Found
    from tempotask.store.store import Store

F = TypeVar("F", bound=Callable[..., Any])

MOST = 10**9
"""More than anybody keeps."""
LOOKING, CHANGING = 3.0, 10.0
"""Seconds for which a server that is away is waited for."""


def everywhere(command: F) -> F:
    """The options of every command."""
    return options(
        click.option(
            "--db", metavar="URL", help="The server. Else $TEMPOTASK_DB, else the embedded one of this folder."
        ),
        click.option("--namespace", default="tempotask", show_default=True, metavar="NS", help="Whose jobs."),
        click.option("--json", "as_json", is_flag=True, help="One JSON object a line."),
    )(command)


def which(command: F) -> F:
    """The options that say which jobs are meant."""
    # Each may be met again so that `once` can refuse that: click would take the last, and other jobs than were meant.
    return options(
        click.option("--queue", metavar="Q", multiple=True, callback=once, help="Only of this queue."),
        click.option(
            "--status",
            metavar="S",
            multiple=True,
            callback=once,
            help="Only those waiting, delayed, processing, completed, failed or cancelled.",
        ),
        click.option("--name", metavar="N", multiple=True, callback=once, help="Only of this task."),
    )(command)


def once(context: click.Context, option: click.Parameter, given: tuple[str, ...]) -> str | None:
    """The value of an option that may be given once."""
    if len(given) > 1:
        raise click.UsageError(f"{option.opts[0]} takes one value here, not {' and '.join(given)}", context)
    return given[0] if given else None


def options(*several: Callable[[Any], Any]) -> Callable[[F], F]:
    """Several options as one decorator, listed in this order."""

    def put(command: F) -> F:
        for option in reversed(several):
            command = option(command)
        return command

    return put


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


def managed(db: str | None, namespace: str) -> QueueManager[Any]:
    """A manager of the namespace that the options name, to be used in a `with`."""
    from tempotask.manager import QueueManager

    # How much the application keeps is not known here: what is kept is left to it.
    kept = {"max_jobs_per_status": MOST, "max_results": MOST, "max_results_bytes": MOST}
    return QueueManager.init(db, namespace=namespace, options={"connect_timeout": CHANGING, **kept})


def found(store: Store, id: str) -> Found:
    """A job that the server knows; ends the command if it does not."""
    from tempotask.names import check_sought, short
    from tempotask.store import look

    job = look.find(store, check_sought(id))
    if job is None:
        where = f"namespace {store.namespace} at {store.server.label}"
        end(1, f"nobody knows a job {short(id)} in {where}; `tempotask jobs` lists the newest")
    return job


def say(line: str) -> None:
    """Tells people something beside what was asked for."""
    click.echo(output.visible(line), err=True)


def say_if_empty(rows: Sequence[object], what: str, store: Store) -> None:
    """Says that a list is empty, and where; and where else something might be."""
    if not rows:
        from tempotask.store import namespaces

        others = ""
        # It is a hint: who may not have it is told the rest, and who has jobs there needs none.
        with suppress(TempoTaskError):
            if not store.read("SCARD", "queues"):
                others = ", ".join(namespaces.neighbours(store))
        hint = f"; others there are {others}: give --namespace" if others else ""
        say(f"no {what} in namespace {store.namespace} at {store.server.label}{hint}")


def say_if_nobody_works(store: Store) -> None:
    """Says so where jobs wait that nobody will run."""
    from tempotask.store.attendance import supervised

    if not supervised(store):
        say(f"no supervisor works in namespace {store.namespace}: start one with tempotask-supervisor module:attribute")


def end(status: int, line: str) -> NoReturn:
    """Ends the command: 1 where the answer is no, 2 on bad use."""
    say(line if status == 1 else f"tempotask: {line}")
    raise click.exceptions.Exit(status)
