"""What a worker says to the server, over a connection of its own: turns (turn.lua), what long jobs tell (say.lua)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from tempotask.store.script import Argument
from tempotask.store.settlement import Settlement
from tempotask.store.store import Store
from tempotask.store.wire import ANSWER_WITHIN, IDLE_SECONDS, Wire

ROOM = 1 << 20
"""Bytes of a batch."""


class Results(NamedTuple):
    """What became of the jobs of one turn's batch, from the index `first` up to `stop`."""

    turn: str
    """Under whose name the server holds them; empty: of none."""
    first: int
    stop: int
    missing: Sequence[int]
    """Indices between these which are known to be taken away, and of which `settlement` says nothing."""
    settlement: Settlement
    events: bool = False
    """Whether it has their events."""

    def arguments(self) -> list[Argument]:
        """As turn.lua reads them."""
        events = "1" if self.events else ""
        missing = (len(self.missing), *self.missing)
        return [events, self.turn, self.first, self.stop, *missing, *self.settlement.arguments()]


NO_RESULTS = Results("", 0, 0, (), Settlement())


class Turns:
    """A worker's side of the protocol: each turn it sends has a higher number. For one thread at a time.

    Nothing is sent twice by itself. Where no errors are named, `wire.Lost` tells that nobody knows whether it took
    effect, and redis' `ResponseError` that the server refuses.
    """

    def __init__(self, store: Store, worker: str) -> None:
        self._worker = worker
        self._limits = store.limits
        self._wire = Wire(store.server, store.namespace, ANSWER_WITHIN)
        self._number = 0

    def take(self, want: int, results: Results = NO_RESULTS) -> list[Any]:
        """Settles what has ended, and claims up to `want` jobs; 0: none. The reply is as turn.lua tells."""
        self._number += 1
        reply: list[Any] = self._wire.run(
            "turn", self._worker, self._number, want, ROOM, *self._limits, *results.arguments()
        )
        return reply

    def pass_by(self, number: int) -> None:
        """The server has seen that number already: the next one is higher."""
        self._number = max(self._number, number)

    def wait(self) -> bytes | None:
        """After a turn that came back `idle`: blocks until a batch is handed over. None when the time is over, an empty
        one for a nudge: take a turn then, and never wait again under the same number."""
        return self._wire.wait(f"wake:{self._worker}:{self._number}", IDLE_SECONDS)

    def say(
        self, turn: str, index: int, id: str, started: bytes, progress: bytes, known: bytes, lines: Iterable[bytes]
    ) -> int:
        """What a running job tells: the events of its start and progress (empty for none), what is to be known of it,
        lines that it logged. 0 if it is not held any more, 2 if those who listen know that it started, else 1."""
        return int(self._wire.run("say", self._worker, turn, index, id, started, progress, known, *lines))

    def abandon(self) -> None:
        """In a forked child: the connection is the parent's, and nothing is ever sent again."""
        self._wire.abandon()
