"""Jobs that wait, as many as ever: what is claimed of them is added again. And what a claim of them costs."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterator
from typing import Any

from benchmarks import drain
from benchmarks.growth.driven import Driven
from benchmarks.growth.server import scripts
from benchmarks.harness import Project, in_turns
from benchmarks.memory_waiting import used
from benchmarks.rows import Spread

BATCH = 192
"""Jobs of a claim: as near to 200 as equal parts of 16 queues come, and a claim takes of no more queues."""
SLICE = 100_000
"""Jobs that are enqueued in one call: for more of them their handles would fill the memory."""


def jobs(count: int, queues: int) -> Iterator[dict[str, Any]]:
    """No-op jobs, evenly over the queues, one queue after the other."""
    each = count // queues
    return (
        {"name": "noop", "queue": f"q{number // each}", "data": {"path": drain.PATH.format(number)}}
        for number in range(each * queues)
    )


class Waiting:
    """So many jobs in so many queues, and one worker that claims some of them."""

    def __init__(self, project: Project, count: int, queues: int) -> None:
        self._project = project
        project.producer.enqueue(name="noop", queue="q0", data={"path": ""})
        self._worker = Driven(project, "driven")
        before, remaining = used(project), jobs(count, queues)
        while some := list(itertools.islice(remaining, SLICE)):
            project.producer.enqueue_many(some)
        self.bytes = (used(project) - before) / count
        """Of the server's memory, for each job."""

    def claim(self, turns: int, want: int = BATCH, *, settle: bool = False) -> float:
        """Microseconds of the server for each claimed job, in the script of the median turn: by the clock on the wall,
        so one in which the server lost its core would count many times.

        With `settle` the turn that claims also settles the batch before, as a worker's does; else that is done in a
        turn of its own, which is not counted.
        """
        each, client = list[float](), self._project.redis
        if settle:
            self._add_again(self._worker.turn(want))
        for _ in range(turns):
            before = scripts(client)
            records = self._worker.turn(want)
            each.append((scripts(client) - before) / len(records))
            if not settle:
                self._worker.turn(0)
            self._add_again(records)
        self._worker.turn(0)
        return statistics.median(each)

    def _add_again(self, records: list[Any]) -> None:
        self._project.producer.enqueue_many(
            {"name": record.name, "queue": record.queue, "data": record.payload} for record in records
        )


def compared(
    ours: Waiting, reference: Waiting, rounds: int, turns: int, want: int = BATCH, *, settle: bool = False
) -> tuple[Spread, Spread]:
    """Microseconds for each job that is claimed, of both in turns."""
    return in_turns(
        lambda: ours.claim(turns, want, settle=settle),
        lambda: reference.claim(turns, want, settle=settle),
        rounds,
        "µs",
    )
