"""A job that has finished, with all that its worker says of it."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw
from play import HOUR, hire, new_job, turn

from tempotask.store.pages import Page, encode_page
from tempotask.store.records import Failure, Finished, Outcome, Record, encode
from tempotask.store.settlement import Settlement
from tempotask.store.store import Store

EPOCH = 1_000_000.0


def finish_page(store: Store, worker: str, ended: list[float], limit: int = 10_000) -> None:
    """Has a worker settle one page of jobs, whose ids say when they ended; so many are kept."""
    hire(store, worker)
    store.enqueue(store.new_call(), [new_job("claimed")])
    batch = turn(store, worker, 1, 1).batch
    assert batch is not None
    jobs = [(new_job(f"{at:g}", enqueued_at=EPOCH).record, at) for at in ended]
    finished = [Finished(record, at, at, 0.0, 0, Raw(b"\xc0"), None, []) for record, at in jobs]
    page = encode_page(Page(worker, "host", EPOCH, finished))
    settlement = Settlement(pages=[batch.records[0].queue, "completed", len(ended), limit, page])
    store.run("turn", worker, 2, 0, 1 << 20, *store.limits, "", batch.turn, 0, 1, 0, *settlement.arguments())


def finish(store: Store, record: Record, status: Any = "completed", ended: float = 12.0, keep: int = HOUR) -> None:
    """Claims what waits, which is that job alone, and settles it with all that a worker says."""
    worker = f"w{ended}"
    hire(store, worker)
    batch = turn(store, worker, 1, 1).batch
    assert batch is not None
    assert [claimed.id for claimed in batch.records] == [record.id]
    result, failure = Raw(msgspec.msgpack.encode({"size": 3})), Failure("ValueError", "no", "Traceback")
    failure_or_none = failure if status == "failed" else None
    lines = [Raw(msgspec.msgpack.encode(line)) for line in ((EPOCH + 11, "half"), (EPOCH + 12, [1, b"x"]))]
    job = Finished(batch.records[0], 10.0, ended, 0.5, 4096, result, failure_or_none, lines)
    settlement = Settlement(
        endings={keep: [record.id, encode(Outcome(status, record.queue, record.name, result, failure_or_none))]},
        pages=[record.queue, status, 1, 200, encode_page(Page(worker, "host", EPOCH, [job]))],
    )
    flat = (*store.limits, "", batch.turn, 0, 1, 0)
    store.run("turn", worker, 2, 0, 1 << 20, *flat, *settlement.arguments())
