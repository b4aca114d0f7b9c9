"""What a worker says to the server, over a connection of its own: turns (turn.lua), what long jobs tell (say.lua)."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec
import redis

from tempotask.errors import TempoTaskError
from tempotask.store.records import NIL, UNREADABLE, Batch, decode_batch, decode_record, flag, payload_key
from tempotask.store.script import Argument
from tempotask.store.settlement import Settlement
from tempotask.store.store import Store
from tempotask.store.wire import ANSWER_WITHIN, IDLE_SECONDS, Lost, Wire

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

    @property
    def largest(self) -> int:
        """Bytes of the largest argument."""
        return max((len(part) for part in self.arguments() if isinstance(part, bytes)), default=0)


ANSWERS = (b"jobs", b"again", b"idle", b"settled", b"refused", b"listened", b"stale", b"gone")
"""With which replies to a turn begin."""
_TURN = re.compile(r"[0-9]{1,18}(@[0-9]{1,18})?")
_decode_beginning = msgspec.msgpack.Decoder(tuple[str, int]).decode


def message_of(reply: Sequence[bytes]) -> bytes:
    """The message in the reply to a turn that brings jobs; the server sends it in pieces."""
    _, before, behind, *records = reply
    return b"".join((before, *records, behind))


def _beginning(message: bytes) -> tuple[str, int]:
    """Turn and first token of a message, by what stands before the array of its records. Raises ValueError."""
    at = 0
    while (at := message.find(b"\xdd", at + 1, 64)) > 0:
        with contextlib.suppress(ValueError):
            return _decode_beginning(b"\x92" + message[1:at])
    raise ValueError("no batch")


NO_RESULTS = Results("", 0, 0, (), Settlement())


class Turns:
    """A worker's side of the protocol: each turn it sends has a higher number. For one thread at a time.

    Nothing is sent twice by itself. Where no errors are named, `wire.Lost` tells that nobody knows whether it took
    effect, and redis' `ResponseError` that the server refuses.
    """

    def __init__(self, store: Store, worker: str) -> None:
        self._worker = worker
        self._store = store
        self._limits = store.limits
        self._wire = Wire(store.server, store.namespace, ANSWER_WITHIN)
        self._number = 0

    def take(self, want: int, results: Results = NO_RESULTS) -> list[Any]:
        """Settles what has ended, and claims up to `want` jobs; 0: none. The reply is as turn.lua tells, but that the
        message which brings jobs is put together."""
        self._number += 1
        reply = self._wire.run("turn", self._worker, self._number, want, ROOM, *self._limits, *results.arguments())
        if not isinstance(reply, list) or not reply or reply[0] not in ANSWERS:
            self._wire.spoilt(reply)
        if reply[0] != b"jobs":
            return reply
        try:
            return [b"jobs", message_of(reply)]
        except (TypeError, ValueError):
            self._wire.spoilt(reply)

    def batch(self, message: bytes) -> Batch | None:
        """The batch that a message brings, the server's reply to a turn or what was handed over. If a record can't be
        read, each is read on its own from what the server holds, as one may hide where the next begins. None for what
        is no such message, or if the server does not hold that batch any more.

        Raises `wire.Lost` when the server can't be asked.
        """
        try:
            batch = decode_batch(message)
        except UNREADABLE:
            try:
                batch = self._held(*_beginning(message))
            except (TempoTaskError, redis.RedisError) as error:
                raise Lost(str(error)) from error
            except ValueError:
                return None
        return batch if _TURN.fullmatch(batch.turn) and batch.records else None

    def _held(self, turn: str, token: int) -> Batch:
        claims = self._store.read("LRANGE", f"claims:{self._worker}:{turn}", 0, -1)
        # Where a claim was taken away meanwhile its result is refused.
        records = [decode_record(claim) for claim in claims]
        outside = [i for i, record in enumerate(records) if flag(record, "p")]
        payloads = self._store.read_many([("GET", payload_key(records[i])) for i in outside])
        nothing = bytes(NIL)
        return Batch(turn, token, records, {i: one or nothing for i, one in zip(outside, payloads, strict=True)})

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

    def refused(self, size: int) -> bool:
        """Whether the server refuses an argument of so many bytes, as soon as it hears how long one is to be."""
        return self._wire.refused(size)

    def abandon(self) -> None:
        """In a forked child: the connection is the parent's, and nothing is ever sent again."""
        self._wire.abandon()
