"""How a namespace stands, for somebody who looks again and again: one script a look (overview.lua).

Lists of jobs and queues for a single look are in lists.py. They ask four commands a queue, in several round trips; who
looks every second is to cost the server less than that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tempotask.store.look import Found
from tempotask.store.reading import decode_head
from tempotask.store.records import FINISHED, Status
from tempotask.store.script import Argument
from tempotask.store.sources import History
from tempotask.store.store import Store
from tempotask.store.values import number, text

FAILED: Status = "failed"


class QueueStanding(NamedTuple):
    """How a queue stands."""

    name: str
    paused: bool
    waiting: int
    delayed: int
    ended: Mapping[str, int]
    """How many have completed, failed and been cancelled since the queue exists."""
    oldest_seconds: float | None
    """How long the first in line has been there; None when nothing waits."""
    mark: str
    """To be given to the next look: it changes when a job fails, or leaves the history of failed ones."""
    failures: list[Found] | None
    """The newest failed jobs, the newest first; None when they are those of the last look."""


class Overview(NamedTuple):
    """What one look shows."""

    at: float
    """When that was, in Unix seconds by the server's clock."""
    supervisors: dict[str, bytes]
    """What each says of its workers (pool/standing.py); empty while it has said nothing."""
    queues: list[QueueStanding]


def overview(store: Store, queues: Sequence[str], marks: Mapping[str, str], failures: int) -> Overview:
    """Looks at these queues, and at all supervisors. `marks` are those of the last look, by queue; `failures`: so many
    failed jobs of each queue, at least, if it has them.

    Raises `ServerUnavailable`.
    """
    arguments: list[Argument] = [failures]
    for queue in queues:
        arguments += (queue, marks.get(queue, ""))
    now, told, *standings = store.run("overview", *arguments)
    at = int(now) / 1000
    supervisors = dict(zip(map(text, told[::2]), told[1::2], strict=True))
    return Overview(at, supervisors, [_queue(name, at, *one) for name, one in zip(queues, standings, strict=True)])


def _queue(
    name: str, at: float, paused: int, length: int, flat: list[bytes], mark: bytes, firsts: list[bytes],
    whole: int, *pages: bytes,
) -> QueueStanding:  # fmt: skip
    counts = {text(field): number(text(value)) for field, value in zip(flat[::2], flat[1::2], strict=True)}
    times = [head.enqueued_at for first in firsts if first and (head := decode_head(first)).enqueued_at]
    failures: list[Found] | None = None
    if pages or whole:
        history = History(name, FAILED, counts.get("failed:trimmed", 0))
        # Only of the last page of all some do not count.
        last = len(pages) - 1 if whole else -1
        failures = [job for i, page in enumerate(pages) for job in history.jobs(0 if i == last else 1, [page])]
    return QueueStanding(
        name=name,
        paused=bool(paused),
        waiting=max(0, int(length) + counts.get("parked", 0) - counts.get("holes", 0)),
        delayed=counts.get("delayed", 0) + counts.get("retries", 0),
        ended={status: counts.get(status, 0) for status in FINISHED},
        oldest_seconds=max(0.0, at - min(times)) if times else None,
        mark=text(mark),
        failures=failures,
    )
