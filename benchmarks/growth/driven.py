"""Workers whose turns are taken here, one after the other: the real protocol without its processes, at any size."""

from __future__ import annotations

import time

from benchmarks.harness import Failed, Project
from tempotask.pool.leases import register
from tempotask.pool.run import Run
from tempotask.pool.settling import Settling
from tempotask.store.records import Batch, Outcome, Record, encode
from tempotask.store.turns import NO_RESULTS, Results, Turns

LEASE = 10.0
"""Seconds, as is the default."""
KEPT = 200
"""Completed jobs that history keeps, as is the default."""
KEEP_MS = 3_600_000
"""Milliseconds for which outcomes are kept, as is the default."""


class Driven:
    """A supervisor and its one worker, registered as real ones are. They run nothing: each job that is claimed has
    completed at once."""

    def __init__(self, project: Project, supervisor: str) -> None:
        self.supervisor = supervisor
        self.name = f"{supervisor}.1"
        register(project.store, supervisor, LEASE, [], 1, [], "benchmarks")
        project.store.register(supervisor, LEASE, workers=[self.name])
        self._turns = Turns(project.store, self.name)
        self._settling = Settling(self.name, {"completed": KEPT})
        self._batch: Batch | None = None

    def turn(self, want: int) -> list[Record]:
        """Settles what is in hand, and claims up to `want` jobs; none when nothing waits."""
        results, self._batch = self._results(), None
        reply = self._turns.take(want, results)
        if reply[0] == b"jobs":
            self._batch = self._turns.batch(reply[1])
            assert self._batch is not None
            return self._batch.records
        if reply[0] not in (b"idle", b"settled"):
            raise Failed(f"a turn that nobody disturbs was answered with {reply[0].decode()}")
        return []

    def _results(self) -> Results:
        batch = self._batch
        if batch is None:
            return NO_RESULTS
        now = time.monotonic()
        runs = [
            Run(each, now, now, encode(Outcome("completed", each.queue, each.name)), KEEP_MS, "completed")
            for each in batch.records
        ]
        return Results(batch.turn, 0, len(runs), (), self._settling.settlement(runs))
