"""One job's handler in the foreground: in this process, where a debugger finds it. For `tempotask run-here`."""

from __future__ import annotations

import asyncio
import bdb
from types import TracebackType
from typing import Any

from msgspec import Raw, structs

from tempotask.inline.stand_ins import NoBlock
from tempotask.manager import QueueManager
from tempotask.pool.failure import handlers_part
from tempotask.pool.run import Hand, Run
from tempotask.pool.runner import Lane, Runner
from tempotask.store.records import Batch, Record, RunOptions


class Foreground(Runner):
    """Runs one job as a worker does, and keeps what its handler raised."""

    def __init__(self, manager: QueueManager[Any]) -> None:
        self._block = NoBlock()
        super().__init__(manager, self._block, lambda queue, name: False, lambda: None)
        self.error: BaseException | None = None

    def run_one(self, record: Record, payload: bytes) -> Run:
        """Runs it as a worker gets it, but for what has happened to it so far. Never raises for what it does."""
        record = structs.replace(record, flags="", payload=Raw(payload))
        hand = Hand(Batch("1", 1, [record], {}), len(payload))
        self._block.begin(1, 1)
        self.run_batch(hand, lambda: None)
        (run,) = hand.runs
        return run

    @property
    def interrupted(self) -> bool:
        """Whether a Ctrl-C ended it."""
        return isinstance(self.error, KeyboardInterrupt)

    @property
    def left(self) -> bool:
        """Whether somebody left it, in a debugger that it had opened."""
        return isinstance(self.error, bdb.BdbQuit)

    @property
    def where(self) -> TracebackType | None:
        """Where the handler raised, or was interrupted: its own frames. None if it was not reached, or completed."""
        error = self.error
        if isinstance(error, KeyboardInterrupt) and isinstance(error.__context__, asyncio.CancelledError):
            # The loop turns a Ctrl-C into a cancel, which is what the handler saw.
            error = error.__context__
        return None if error is None else handlers_part(error)

    def _failed(
        self, lane: Lane, record: Record, options: RunOptions, started: float, error: BaseException, *, raised: bool
    ) -> Run:
        self.error = error
        return super()._failed(lane, record, options, started, error, raised=raised)
