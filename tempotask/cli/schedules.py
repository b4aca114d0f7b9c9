"""The command `tempotask schedules`."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import click
import msgspec

from tempotask.cli import output
from tempotask.cli.command import everywhere, opened, say_if_empty, say_if_nobody_works

if TYPE_CHECKING:
    from tempotask.store.schedules import Planned, Schedule

NEXT = 3
"""So many of its next times are shown of each schedule."""


class ScheduleRow(msgspec.Struct, kw_only=True):
    """A schedule as one line of a list. Times are Unix seconds."""

    id: str
    queue: str
    name: str
    pattern: str | None
    every: float | None
    tz: str
    next: list[float]
    """Those that take place when nothing keeps them up; the first may be past, when nobody was there to fire it."""
    last: float | None
    """The last firing that took place; None: none yet."""
    fired: int
    limit: int | None
    jitter: float
    """Seconds."""
    overlap: bool
    catch_up: bool
    source: str
    """`declared` by an application, or `added` with `enqueue`."""


@click.command()
@everywhere
def schedules(db: str | None, namespace: str, as_json: bool) -> None:
    """Lists what is repeated, and when it is due next."""
    from tempotask.store.schedules import every

    with opened(db, namespace) as store:
        rows = sorted(
            (_row(planned, planned.schedule) for planned in every(store) if planned.schedule is not None),
            key=lambda row: row.id,
        )
        if as_json:
            for row in rows:
                output.print_json(row)
            return
        columns = ("id", "queue", "name", "when", "tz", "next", "last", "source")
        output.print_table(
            columns,
            [
                (
                    *(row.id, row.queue, row.name, row.pattern or f"every {row.every:g} s", row.tz),
                    ", ".join(_times(row.next)) or "no more",
                    *(output.moment(row.last), row.source),
                )
                for row in rows
            ],
        )
        say_if_empty(rows, "schedules", store)
        if rows:
            say_if_nobody_works(store)


def _row(planned: Planned, schedule: Schedule) -> ScheduleRow:
    repeat = schedule.repeat
    left = NEXT if repeat.limit is None else min(NEXT, repeat.limit - planned.fired)
    following = itertools.islice(itertools.chain([planned.next], repeat.following(planned.next)), left)
    if not planned.next:
        # A declared one whose limit is reached.
        following = itertools.islice((), 0)
    return ScheduleRow(
        id=planned.id,
        queue=schedule.queue,
        name=schedule.name,
        pattern=repeat.pattern,
        every=repeat.every,  # type: ignore[arg-type]
        tz=repeat.tz,
        next=[firing / 1000 for firing in following],
        last=planned.last / 1000 if planned.last else None,
        fired=planned.fired,
        limit=repeat.limit,
        jitter=repeat.jitter,  # type: ignore[arg-type]
        overlap=repeat.overlap,
        catch_up=repeat.catch_up,
        source="added" if planned.added else "declared",
    )


def _times(moments: list[float]) -> list[str]:
    """The first in full, and of the others no more than what is different."""
    shown: list[str] = []
    day = ""
    for moment in moments:
        date, _, clock = (output.moment(moment) or "").partition(" ")
        shown.append(clock if date == day else f"{date} {clock}")
        day = date
    return shown
