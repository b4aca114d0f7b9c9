"""Commands as they are typed, and what they do."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw

from tempotask.store.pages import Page, encode_page
from tempotask.store.records import Failure, Finished, Outcome, decode_batch, encode
from tempotask.store.settlement import Settlement
from tempotask.store.store import Store
from tempotask.store.turns import message_of

PROGRAM = [sys.executable, "-m", "tempotask.cli"]


class Ended(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


Run = Callable[..., Ended]


def finish(store: Store, status: Any = "completed", result: object = "out.png") -> None:
    """Runs the job that waits, as a worker would."""
    store.register("s1", 60, b"registration", ["w1"])
    reply = store.run("turn", "w1", 1, 1, 1 << 20, *store.limits, "", "", 0, 0, 0, *Settlement().arguments())
    batch = decode_batch(message_of(reply))
    (record,) = batch.records
    encoded = Raw(msgspec.msgpack.encode(result))
    failure = Failure("ValueError", "no\x1b[31m such\nfile", "Traceback:\n  here") if status == "failed" else None
    now = store.now()
    lines = [Raw(msgspec.msgpack.encode((now, "half way")))]
    page = encode_page(Page("w1", "box1", 0.0, [Finished(record, now, now + 0.5, 0.25, 4096, encoded, failure, lines)]))
    settlement = Settlement(
        endings={60_000: [record.id, encode(Outcome(status, record.queue, record.name, encoded, failure))]},
        pages=[record.queue, status, 1, 200, page],
    )
    store.run("turn", "w1", 2, 0, 1 << 20, *store.limits, "", batch.turn, 0, 1, 0, *settlement.arguments())
