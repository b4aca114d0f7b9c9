"""Recycling: which workers another is to take the place of, one at a time.

A worker leaves when it holds more than `max_memory`, or has run `max_jobs_per_worker` jobs. Its successor is forked
while it still works:

    jobs      ── runs ── nearly spent ── runs its last jobs ── SPENT ── ends
                            └── successor starts ──────────┴── runs
    memory    ── runs ── over it ── ends after the job that runs
                            └── successor starts ── runs

so that no capacity is lost but what the successor's start takes longer. A worker that is spent does nothing, so it may
go before its successor is there; one that is too large would only grow. Meanwhile the others have to wait: were all of
them to leave at once, nobody would be left.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from typing import NamedTuple

from tempotask import linux
from tempotask.options import Options
from tempotask.pool.control_block import BUSY, HELD, IDLE, JOBS, SPENT, STARTING, WEIGHT
from tempotask.pool.deaths import Cause
from tempotask.pool.watch import Watch

log = logging.getLogger("tempotask")

WEIGHED = 0.05
"""Seconds between two looks at the memory of a busy worker."""
FIRST_START = 0.1
"""Seconds that a worker is taken to need for its start, as long as none has been seen."""
MARGIN = 1.5
"""So many times the last start is the next one given."""


class Weighing(NamedTuple):
    """When a worker was weighed last, by the monotonic clock, and the job that then ran: its turn and index."""

    at: float = 0.0
    job: tuple[str, int | None] | None = None
    """None if the worker was too large to be let live."""


class Recycling:
    """Of the workers of one generation; `options` are the application's."""

    def __init__(self, options: Options, weigh: Callable[[int], int] = linux.resident) -> None:
        self._max_memory = options.max_memory
        self._max_jobs = options.max_jobs_per_worker
        self._weigh = weigh
        self._start = FIRST_START
        self._weighed: dict[Watch, Weighing] = {}

    def tick(self, watches: Collection[Watch], starting: bool, now: float) -> None:
        """Looks at all workers. `starting` says whether one was asked for that is not there yet."""
        if self._max_memory is None and self._max_jobs is None:
            return
        for watch in watches:
            starting |= watch.state == STARTING
            if watch.ready_at:
                self._start = watch.ready_at - watch.asked_at
        for watch in watches:
            if self._max_memory is not None:
                starting |= self._look_at_memory(watch, starting, now)
            if self._max_jobs is not None:
                starting |= self._look_at_jobs(watch, starting, now)
        for gone in self._weighed.keys() - set(watches):
            del self._weighed[gone]

    def _look_at_memory(self, watch: Watch, starting: bool, now: float) -> bool:
        """Returns whether the worker leaves now."""
        most = self._max_memory
        before, state = watch.last_weighed_state, watch.state
        watch.last_weighed_state = state
        # Once more when it has become idle: it may stay so, with all that its last job left.
        last = self._weighed.get(watch, Weighing())
        due = now - last.at >= WEIGHED if state == BUSY else before == BUSY
        if most is None or not due or not watch.pid or watch.worker.state == "ending":
            return False
        # The job first: it was there when the worker is weighed, if it still is later.
        peek, held = watch.peek(), self._weigh(watch.pid)
        self._weighed[watch] = Weighing(now, (peek.name, peek.running) if held <= 2 * most else None)
        if (weight := watch.worker.block.words[WEIGHT]) > most:
            self._give_up(weight)
            return False
        if held > 2 * most and self._kill(watch, last, most):
            return False
        if held <= most or watch.retired or starting:
            return False
        log.info("worker %s holds %s, more than max_memory (%s): another takes its place",
                 watch.worker.id, _size(held), _size(most))  # fmt: skip
        watch.leaving = True
        watch.retire()
        return True

    def _kill(self, watch: Watch, last: Weighing, most: int) -> bool:
        """Kills a worker that holds more than twice as much as it may, if a job runs. That one is to blame if the
        worker was smaller when it was seen at it before, or began its batch with it; else another may have left all
        that behind, and this one runs again unmarked."""
        with watch.worker.look() as look:
            if look is None or look.running is None or (held := self._weigh(watch.pid)) <= 2 * most:
                return False
            first = look.running == 0 and watch.worker.block.words[HELD] <= 2 * most
            blamed = first or last.job == (look.name, look.running)
            how = f"was killed with {_size(held)} of memory, more than twice max_memory ({_size(most)})"
            watch.end_running_job(look, Cause.MEMORY if blamed else Cause.STOP, how)
            return True

    def _give_up(self, weight: int) -> None:
        log.error(
            "max_memory (%s) is less than what a worker holds before its first job (%s): it is not kept; raise it",
            _size(self._max_memory or 0), _size(weight),
        )  # fmt: skip
        self._max_memory = None

    def _look_at_jobs(self, watch: Watch, starting: bool, now: float) -> bool:
        """Returns whether the worker leaves now."""
        # One that waits may never come to its last jobs: it would stay beside its successor.
        done = watch.state == SPENT or (watch.state == IDLE and not starting)
        if done and watch.leaving and not watch.retired:
            watch.retire()
        if starting or watch.leaving or watch.retired or not self._is_nearly_spent(watch, now):
            return False
        log.debug("worker %s has run nearly %d jobs: another takes its place", watch.worker.id, self._max_jobs)
        watch.leaving = True
        if watch.state == SPENT:
            watch.retire()
        return True

    def _is_nearly_spent(self, watch: Watch, now: float) -> bool:
        """Whether it will have run all its jobs by the time that another could start."""
        assert self._max_jobs is not None
        if watch.state == SPENT:
            return True
        peek, jobs = watch.peek(), watch.worker.block.words[JOBS]
        in_hand = peek.limit if peek.running is not None else 0
        if jobs + in_hand >= self._max_jobs:
            return True
        seconds_each = (now - watch.ready_at) / jobs if jobs and watch.ready_at else 0.0
        return jobs > 0 and (self._max_jobs - jobs) * seconds_each < self._start * MARGIN


def _size(bytes: int) -> str:
    return f"{bytes / 2**20:.0f} MiB"
