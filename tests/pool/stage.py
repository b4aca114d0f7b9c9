"""A runner alone, with the supervisor's half of its signals."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from typing import Any

from tempotask import Context, Job, QueueManager
from tempotask.pool.control_block import (
    INTERRUPT,
    INTERRUPT_HANDED,
    INTERRUPT_INDEX,
    INTERRUPT_SIGNAL,
    INTERRUPT_TURN,
    TURN,
    ControlBlock,
)
from tempotask.pool.run import Hand, Run
from tempotask.pool.runner import Runner
from tempotask.store.records import Batch, Record, RunOptions

Handler = Callable[[Job[Any], Context[Any]], Any]


class Stage:
    """A runner with two tasks, `plain` and `limited`, that call what the test gives; and the supervisor's half."""

    def __init__(self, url: str, namespace: str) -> None:
        self.manager = QueueManager.init(db=url, namespace=namespace)
        self.handler: Handler = lambda job, ctx: None
        for name, options in (("plain", {}), ("limited", {"timeout": 600})):
            self.manager.register_job(
                name=name, queue="q", handler=lambda job, ctx: self.handler(job, ctx), options=options
            )
        self.watched = self.full = 0
        self.block = ControlBlock.create()
        self.runner: Runner | None = None
        self.turn = 0
        self.left: asyncio.Task[None] | None = None

    def register(self, handler: Handler) -> None:
        self.manager.register_job(name="coroutine", queue="q", handler=handler)

    def run(self, names: list[str], *, options: RunOptions | None = None, handed: int = 0) -> list[Run]:
        """Runs a batch of these tasks; the data of each job is its index."""
        if self.runner is None:
            self.runner = Runner(self.manager, self.block, lambda queue, name: False, self._watched)
            signal.signal(INTERRUPT_SIGNAL, self.runner.on_interrupt)
        self.turn += 1
        records = [
            Record("", f"{self.turn}-{n}", "q", "0", name, 0.0, 0, options=options) for n, name in enumerate(names)
        ]
        hand = Hand(Batch(str(self.turn), 100, records, {}), 0)
        self.block.begin(self.turn, len(records), handed)
        self.runner.run_batch(hand, self._full)
        return hand.runs

    def sentence(self, interrupt: int, index: int, turn: int | None = None, handed: int = 0) -> None:
        """What the supervisor does in a stopped worker, and the signal after it."""
        words = self.block.words
        words[INTERRUPT_INDEX], words[INTERRUPT_TURN], words[INTERRUPT_HANDED] = index, turn or words[TURN], handed
        words[INTERRUPT] = interrupt
        os.kill(os.getpid(), INTERRUPT_SIGNAL)

    def _watched(self) -> None:
        self.watched += 1

    def _full(self) -> None:
        self.full += 1
