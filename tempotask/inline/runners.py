"""Runners: what runs jobs in this process for memory, and what a thread belongs to meanwhile."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from tempotask.inline.stand_ins import NoBlock, without_loop
from tempotask.pool.control_block import ControlBlock
from tempotask.pool.run import Hand, Run
from tempotask.pool.runner import Runner
from tempotask.store.records import Batch, Record

if TYPE_CHECKING:
    from tempotask.job import Job
    from tempotask.manager import QueueManager


class Here(NamedTuple):
    """What a thread belongs to."""

    family: deque[str] | None = None
    """Where the jobs go that are added: those of the job that runs, if one does."""
    runner: Runner | None = None
    """What runs it."""


NOWHERE = Here()


class Runners:
    """Those of one inline manager: as many as jobs run at once, in several threads or in each other."""

    def __init__(self, manager: QueueManager[Any]) -> None:
        self._manager = manager
        self._tokens = itertools.count(1)
        self._free: deque[tuple[Runner, ControlBlock]] = deque()
        """Those that run nothing right now."""
        self._threads = threading.local()

    @property
    def here(self) -> Here:
        """What this thread belongs to."""
        found: Here = getattr(self._threads, "here", NOWHERE)
        return found

    @contextlib.contextmanager
    def within(self, here: Here) -> Iterator[None]:
        """Has this thread belong to that, while it lasts."""
        before, self._threads.here = self.here, here
        try:
            yield
        finally:
            self._threads.here = before

    def running(self) -> Job[Any] | None:
        """The job that this thread runs."""
        runner = self.here.runner
        return None if runner is None else runner.context._job

    def run(self, record: Record) -> Run:
        """One try of a job, in this thread. Raises `KeyboardInterrupt` where the handler was ended by that."""
        runner, block = self._free_one()
        hand = Hand(Batch("1", next(self._tokens), [record], {}), 0)
        block.begin(1, 1)

        # As in a worker, a handler may run a loop.
        with self.within(self.here._replace(runner=runner)), without_loop():
            runner.run_batch(hand, lambda: None)
        self._free.append((runner, block))
        hand.let_go(1)
        (done,) = hand.runs
        if done.failure is not None and done.failure.type == "KeyboardInterrupt":
            # In a worker it ends one job; here, somebody wants his tests to end.
            raise KeyboardInterrupt
        return done

    def _free_one(self) -> tuple[Runner, ControlBlock]:
        with contextlib.suppress(IndexError):
            runner, block = self._free.pop()
            if runner.lanes.keys() == self._manager.tasks.keys():
                return runner, block
            runner.loop.close()
        block = NoBlock()
        return Runner(self._manager, block, lambda queue, name: False, lambda: None), block

    def close(self) -> None:
        """Ends the loops of `async def` handlers. Jobs stay."""
        while self._free:
            self._free.pop()[0].loop.close()
