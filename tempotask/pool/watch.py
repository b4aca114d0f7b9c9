"""What the supervisor does about a worker that takes long: steals back what has not started, keeps the time limit.

It peeks at the control block first, which costs nothing. Only when there is something to do is the worker stopped,
looked at, its batch shrunk, and let go on.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import psutil

from tempotask.pool.batch import IDLE, STARTING, STATE, STOP, STOP_SIGNAL, VERDICT, VERDICT_INDEX, VERDICT_SIGNAL, Look
from tempotask.pool.deaths import Cause, Death
from tempotask.pool.pool import WorkerProcess

PATIENCE = 0.05
"""Seconds after which a batch that has not ended is shrunk: it was to take 0.02."""
AGAIN = 0.02
"""Seconds after which a signal is sent again: one that comes just before a system call, or just before a stopped one
goes on, does not wake it."""
DEAF = 1.0
"""Seconds after which an idle worker that was told to end is killed: a handler made it deaf to signals."""


class Sentence(NamedTuple):
    """A job whose time is over: killed at `kill_at` (monotonic), unless its handler has ended by then."""

    turn: str
    job: int
    kill_at: float


class Watch:
    """The supervisor's eye on one worker. `give_back(worker, turn, from)` is told what was taken away."""

    def __init__(self, worker: WorkerProcess, give_back: Callable[[str, str, int], None]) -> None:
        self.worker = worker
        self.born_at = worker.born_at
        self.pid = 0
        self.last_state = STARTING
        """What the worker said of itself last, for when its block is gone."""
        self._give_back = give_back
        self._turn = ""
        self._since = worker.born_at
        self._sentence: Sentence | None = None
        self._executed: Sentence | None = None
        self._killed = False
        self._retired = 0.0
        self._told = 0.0
        """When the worker was told last to end, or that its job's time is over."""

    def peek(self) -> Look:
        """The control block as it is, while the worker runs: its words need not belong together."""
        return self.worker.block.read()

    @property
    def state(self) -> int:
        """STARTING, IDLE or BUSY."""
        self.last_state = self.worker.block.words[STATE]
        return self.last_state

    def tick(self, now: float) -> None:
        """Looks once; `now` is of the monotonic clock. Called every few milliseconds while the worker is busy."""
        self.pid = self.worker.pid or self.pid
        if not self.worker.pid or self.worker.state == "ending":
            return
        peek = self.peek()
        if peek.name != self._turn:
            self._turn, self._since = peek.name, now
        if self.worker.block.words[STOP] and peek.state == IDLE and now - self._told >= AGAIN:
            if now - self._retired >= DEAF:
                self.kill()
            self._tell(STOP_SIGNAL)
        if self._sentence is not None:
            self._execute(now, peek)
        elif peek.running is None:
            return
        elif peek.deadline_index == peek.started and now * 1e9 >= peek.deadline_ns:
            self._time_is_over()
        elif now - self._since > PATIENCE and peek.unstarted:
            self._steal()

    def next_deadline(self) -> float | None:
        """When the next tick must not be missed (monotonic)."""
        if self._sentence is not None:
            return self._sentence.kill_at
        peek = self.peek()
        if self.worker.block.words[STOP] and peek.state == IDLE and self.worker.state != "ending":
            return self._told + AGAIN
        return peek.deadline_ns / 1e9 if peek.running is not None and peek.deadline_index == peek.started else None

    def retire(self) -> None:
        """Has the worker end after the job that it runs."""
        self.worker.block.words[STOP] = 1
        self._retired = time.monotonic()
        self._steal()
        self._tell(STOP_SIGNAL)

    def kill(self) -> None:
        """Ends the worker at once, for reasons that are not its job's."""
        self._killed = True
        self.worker.kill_group()

    def death(self, how: str, *, bereft: bool = False) -> Death:
        """What is known of this worker's end, now that it is dead; `bereft` if it went with its nursery."""
        look = self.peek()
        self.last_state = look.state
        if self._executed is not None:
            return Death(self.worker.id, Cause.TIMEOUT, self._executed.turn, self._executed.job, self._since, how)
        stopped = self._killed or (self.worker.block.words[STOP] != 0 and look.running is None)
        cause = Cause.STOP if stopped else Cause.BEREFT if bereft else Cause.CRASH
        return Death(self.worker.id, cause, look.name, look.running, self._since, how)

    def _steal(self) -> None:
        """Stops the worker, takes away what has not started, and lets it go on."""
        with self.worker.look() as look:
            if look is None:
                return
            taken = self.worker.block.shrink()
        if taken:
            self._give_back(self.worker.id, look.name, taken.start)

    def _time_is_over(self) -> None:
        """Asks the handler to end, and sets the time at which it is ended otherwise."""
        with self.worker.look() as look:
            if look is None or look.running is None or look.deadline_index != look.started:
                return
            if time.monotonic_ns() < look.deadline_ns:
                return
            taken = self.worker.block.shrink()
            words = self.worker.block.words
            words[VERDICT_INDEX] = look.started
            words[VERDICT] = 1
        # Not while it stands still: the kernel would leave the signal to any of its threads. Should the job have ended
        # by now, the signal finds no verdict on the one that runs.
        self._tell(VERDICT_SIGNAL)
        self._sentence = Sentence(look.name, look.started, (look.deadline_ns + look.kill_after_ns) / 1e9)
        if taken:
            self._give_back(self.worker.id, look.name, taken.start)

    def _execute(self, now: float, peek: Look) -> None:
        sentence = self._sentence
        assert sentence is not None
        if (peek.name, peek.running) != (sentence.turn, sentence.job):
            # It has ended in time. What it started must have ended too.
            self._sentence = None
            if self._has_children():
                self._carry_out(sentence)
        elif now >= sentence.kill_at:
            with self.worker.look() as look:
                if look is None or (look.name, look.running) != (sentence.turn, sentence.job):
                    return
                self._carry_out(sentence)
        elif self.worker.block.words[VERDICT] and now - self._told >= AGAIN:
            self._tell(VERDICT_SIGNAL)

    def _tell(self, number: int) -> None:
        self._told = time.monotonic()
        self.worker.signal(number)

    def _carry_out(self, sentence: Sentence) -> None:
        self._executed = sentence
        self.worker.kill_group()

    def _has_children(self) -> bool:
        try:
            children = psutil.Process(self.worker.pid).children()
            return any(child.status() != psutil.STATUS_ZOMBIE for child in children)
        except psutil.Error:
            return False
