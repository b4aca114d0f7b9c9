"""The command `tempotask events`: follows what happens."""

from __future__ import annotations

import queue
from typing import TYPE_CHECKING, Any

import click

from tempotask.cli import output
from tempotask.cli.command import everywhere, managed, once, say

if TYPE_CHECKING:
    from tempotask.events import Event


@click.command()
@everywhere
@click.option("--queue", "of_queue", metavar="Q", multiple=True, callback=once, help="Only of this queue.")
@click.option("--name", metavar="N", multiple=True, callback=once, help="Only of this task.")
@click.option("--event", "kinds", multiple=True, metavar="E", help="Only of this kind; may be given again.")
def events(
    db: str | None, namespace: str, as_json: bool, of_queue: str | None, name: str | None, kinds: tuple[str, ...]
) -> None:
    """Follows what happens to jobs, until Ctrl-C."""
    from tempotask.events import check
    from tempotask.store.events import KINDS

    told: queue.SimpleQueue[Event] = queue.SimpleQueue()
    with managed(db, namespace) as manager:
        if not kinds:
            kinds = KINDS if of_queue is None and name is None else tuple(kind for kind in KINDS if kind != "worker")
        # None is subscribed to before all of them are spelt right.
        for kind in kinds:
            check(kind, told.put, of_queue, name)
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
        parts.append(f"again in {output.brief(event.delay)} s")
    if fields.get("result") is not None:
        parts.append(output.text(event.result))
    return " ".join(parts)
