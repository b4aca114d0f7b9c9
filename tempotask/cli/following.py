"""The commands that follow what happens: the log of a job, and events."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, Any

import click

from tempotask.cli import output
from tempotask.cli.command import end, everywhere, managed, say

if TYPE_CHECKING:
    from tempotask.events import Event

Line = tuple[float, Any]
LOOK = 0.25
"""Seconds between two looks at the log of a job that runs."""


@click.command()
@everywhere
@click.argument("id")
@click.option("--follow", is_flag=True, help="Go on until the job ends.")
def logs(db: str | None, namespace: str, as_json: bool, id: str, follow: bool) -> None:
    """Shows what a job logged."""
    from tempotask.store import look
    from tempotask.store.records import FINISHED
    from tempotask.store.said import lines_of

    with managed(db, namespace) as manager:
        store, outcomes = manager._client.store, manager._client.outcomes
        store.server.check()
        found = look.find(store, id)
        if found is None:
            end(1, f"nobody knows a job {id!r} in namespace {namespace} at {store.server.label}")
        lines = _print_new(look.details(store, [found])[0].lines, [], as_json)
        if not follow or found.status in FINISHED:
            return
        ended = threading.Event()
        wait = outcomes.begin([id], ended.set, True)
        try:
            outcomes.ask(wait)
            while not ended.wait(LOOK):
                lines = _print_new(lines_of(store.read("LRANGE", f"log:{id}", 0, -1), None), lines, as_json)
        finally:
            outcomes.end(wait)
        found = look.find(store, id)
        if found is not None:
            _print_new(look.details(store, [found])[0].lines, lines, as_json)


def _print_new(lines: list[Line], known: list[Line], as_json: bool) -> list[Line]:
    """Prints those that are not known, and returns the lines."""
    # No two lines of a job have the same time.
    before = {at for at, _ in known}
    for at, message in lines:
        if at in before:
            continue
        if as_json:
            output.print_json({"at": at, "message": message})
        else:
            output.print_line(f"{output.moment(at)}  {output.text(message)}")
    output.flush()
    return lines


@click.command()
@everywhere
@click.option("--queue", "of_queue", metavar="Q", help="Only of this queue.")
@click.option("--name", metavar="N", help="Only of this task.")
@click.option("--event", "kinds", multiple=True, metavar="E", help="Only of this kind; may be given again.")
def events(
    db: str | None, namespace: str, as_json: bool, of_queue: str | None, name: str | None, kinds: tuple[str, ...]
) -> None:
    """Follows what happens to jobs, until Ctrl-C."""
    from tempotask.store.events import KINDS

    told: queue.SimpleQueue[Event] = queue.SimpleQueue()
    with managed(db, namespace) as manager:
        if not kinds:
            kinds = KINDS if of_queue is None and name is None else tuple(kind for kind in KINDS if kind != "worker")
        for kind in dict.fromkeys(kinds):
            manager.on(kind, told.put, queue=of_queue, name=name)
        try:
            say(f"following namespace {namespace} at {manager._client.server.label}; Ctrl-C ends it")
            while True:
                _print_event(told.get(), as_json)
        except KeyboardInterrupt:
            return


def _print_event(event: Event, as_json: bool) -> None:
    import msgspec

    told = msgspec.structs.asdict(event)
    fields = {name: value for name, value in told.items() if value is not None and (value != "" or name == "result")}
    fields["at"] = event.at.timestamp()
    if event.event == "completed":
        fields.setdefault("result", None)
    if as_json:
        output.print_json(fields)
    else:
        output.print_line(f"{output.moment(fields['at'])}  {_line(event, fields)}")
    output.flush()


def _line(event: Event, fields: dict[str, Any]) -> str:
    if event.event == "worker":
        return f"worker {event.reason} {event.worker}"
    parts = [event.event, f"{event.queue}/{event.name}", event.id]
    if event.progress is not None:
        parts.append(output.progress(event.progress.done, event.progress.total, event.progress.note))
    if event.type is not None:
        parts.append(f"{event.type}: {event.error}")
    if event.delay is not None:
        parts.append(f"again in {output.text(event.delay)} s")
    if fields.get("result") is not None:
        parts.append(output.text(event.result))
    return " ".join(parts)
