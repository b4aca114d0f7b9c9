"""A process that stands for a worker under the supervisor's eye."""

from __future__ import annotations

import subprocess

from pool.running import LONG

from tempotask.pool.control_block import STARTED
from tempotask.pool.pool import WorkerProcess
from tempotask.pool.report import WorkerSpec
from tempotask.pool.watch import Watch


class Watched:
    """A process that stands for a worker, whose control block the test writes to."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            ["sh"], process_group=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.worker = WorkerProcess(WorkerSpec("w", "s", "", ""))
        self.worker.pid = self.process.pid
        self.block = self.worker.block
        self.given_back: list[tuple[str, str, int]] = []
        self.watch = Watch(self.worker, lambda *what: self.given_back.append(what))

    def take(self, turn: int, size: int, started: int, handed: int = 0) -> None:
        self.block.begin(turn, size, handed)
        self.block.words[STARTED] = started

    def bear(self) -> None:
        """Has it start a child."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print("sleep 600 & echo", file=self.process.stdin, flush=True)
        self.process.stdout.readline()

    @property
    def ends(self) -> bool:
        """Whether it was killed, which takes a busy machine a while."""
        try:
            self.process.wait(LONG)
        except subprocess.TimeoutExpired:
            return False
        return True

    @property
    def lives(self) -> bool:
        try:
            self.process.wait(0.05)
        except subprocess.TimeoutExpired:
            return True
        return False
