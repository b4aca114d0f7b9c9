"""The command `tempotask logs`: what a job logged, and goes on to log."""

from __future__ import annotations

import threading
from typing import Any

import click

from tempotask.cli import output
from tempotask.cli.command import everywhere, found, managed, say

Line = tuple[float, Any]
LOOK = 0.25
"""Seconds between two looks at the log of a job that runs."""


@click.command()
@everywhere
@click.argument("id")
@click.option("--follow", is_flag=True, help="Go on until the job ends.")
def logs(db: str | None, namespace: str, as_json: bool, id: str, follow: bool) -> None:
    """Shows what a job logged."""
    try:
        _show(db, namespace, as_json, id, follow)
    except KeyboardInterrupt:
        # To follow a log has no other end than that of the job.
        if not follow:
            raise


def _show(db: str | None, namespace: str, as_json: bool, id: str, follow: bool) -> None:
    from tempotask.store import look, shown
    from tempotask.store.records import FINISHED
    from tempotask.store.said import lines_of

    with managed(db, namespace) as manager:
        store, outcomes = manager._client.store, manager._client.outcomes
        store.server.check()
        job = found(store, id)
        lines = _print_new(shown.details(store, [job])[0].lines, [], as_json)
        if job.record is None and not as_json:
            say(f"history does not keep job {id} any more, nor what it logged")
        if not follow or job.status in FINISHED:
            return
        ended = threading.Event()
        wait = outcomes.begin([id], ended.set, True)
        try:
            outcomes.ask(wait)
            while not ended.wait(LOOK):
                lines = _print_new(lines_of(store.read("LRANGE", f"log:{id}", 0, -1), None), lines, as_json)
        finally:
            outcomes.end(wait)
        last = look.find(store, id)
        if last is not None:
            _print_new(shown.details(store, [last])[0].lines, lines, as_json)


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
