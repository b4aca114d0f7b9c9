"""A worker played by hand."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

import msgspec

from tempotask.store.records import Batch, Failure, Outcome, decode_batch, encode
from tempotask.store.settlement import Settlement
from tempotask.store.store import Store
from tempotask.store.turns import message_of

LONG = 60.0
KEEP = 3_600_000
LEASE = 600.0


class Hand:
    """A worker played by hand: claims, and settles as it is told."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._supervisor, self._worker = uuid.uuid4().hex, uuid.uuid4().hex
        assert store.register(self._supervisor, LEASE, b"by hand")
        assert store.register(self._supervisor, LEASE, b"", [self._worker])
        self._number = 0

    def _turn(self, want: int, *rest: Any) -> list[Any]:
        self._number += 1
        sizes = (want, 1 << 20, *self._store.limits, "")
        reply: list[Any] = self._store.run("turn", self._worker, self._number, *sizes, *rest)
        return reply

    def claim(self, want: int = 1000) -> Batch:
        reply = self._turn(want, "", 0, 0, 0, *Settlement().arguments())
        assert reply[0] == b"jobs", reply
        return decode_batch(message_of(reply))

    def settle(self, batch: Batch, end: Callable[[str], Outcome], keep: int = KEEP) -> None:
        flat: list[Any] = []
        for record in batch.records:
            flat += (record.id, encode(end(record.id)))
        settlement = Settlement(endings={keep: flat})
        reply = self._turn(0, batch.turn, 0, len(batch.records), 0, *settlement.arguments())
        assert reply[0] == b"settled", reply

    def finish_one_by_one(self, jobs: int) -> None:
        """Each in a turn of its own."""
        for _ in range(jobs):
            self.settle(self.claim(1), done)

    def finish(self, jobs: int, end: Callable[[str], Outcome], keep: int = KEEP) -> None:
        while jobs > 0:
            batch = self.claim()
            self.settle(batch, end, keep)
            jobs -= len(batch.records)


def until(true: Callable[[], Any]) -> Any:
    """Waits for something at the server that tells nobody when it happens; what it was."""
    end = time.monotonic() + LONG
    while not (found := true()):
        assert time.monotonic() < end, "it has not happened"
        time.sleep(0.005)
    return found


def done(id: str) -> Outcome:
    return Outcome("completed", "q", "job", msgspec.Raw(msgspec.msgpack.encode(f"result of {id}")))


def returned(result: object) -> Callable[[str], Outcome]:
    return lambda id: Outcome("completed", "q", "job", msgspec.Raw(msgspec.msgpack.encode(result)))


def failed(type: str) -> Callable[[str], Outcome]:
    return lambda id: Outcome("failed", "q", "job", failure=Failure(type, "no luck", "Traceback …"))
