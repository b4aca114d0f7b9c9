"""Jobs that somebody acts on: in all statuses, in and out of pause."""

from __future__ import annotations

from typing import Any

from play import completed, enqueue, failed, hire, results_of, tried_again, turn

from tempotask.store import look
from tempotask.store.acting import Acting
from tempotask.store.records import decode_outcome
from tempotask.store.store import Store

LARGE = "x" * 5000


def add(store: Store, *ids: str, **rest: Any) -> list[bool]:
    """Adds jobs whose ids are a user's."""
    return enqueue(store, *ids, given_id=True, **rest)


def status(store: Store, id: str) -> str | None:
    found = look.find(store, id)
    return None if found is None else found.status


def outcome(store: Store, id: str) -> str | None:
    (told,) = store.outcomes_of([id])
    return None if told is None else decode_outcome(told).status


def run(store: Store, how: Any = completed, worker: str = "w", number: int = 1000) -> list[str]:
    """Runs all that waits, to one end; the ids in the order in which they ran."""
    hire(store, worker)
    ran: list[str] = []
    at, batch = number, turn(store, worker, number, 1000).batch
    while batch:
        ran += [record.id for record in batch.records]
        at, batch = at + 1, turn(store, worker, at + 1, 1000, results_of(batch, how=how)).batch
    store.give_back_all(worker)
    return ran


def claimed(store: Store, *ids: str, worker: str = "c") -> Any:
    """Has a worker claim these jobs, which are all that wait."""
    hire(store, worker)
    batch = turn(store, worker, 1, 1000).batch
    assert batch is not None
    assert [record.id for record in batch.records] == list(ids)
    return batch


def everywhere(store: Store, queue: str = "q") -> dict[str, str]:
    """Jobs of all statuses, in and out of pause: their ids by what they are."""
    for id, how in (("done", completed), ("bad", failed)):
        add(store, id, queue=queue)
        run(store, how, worker=f"for-{id}")
    add(store, "retries", queue=queue)
    hire(store, "r")
    batch = turn(store, "r", 1).batch
    assert batch is not None
    turn(store, "r", 2, 0, results_of(batch, how=lambda record: tried_again(record, 900_000)))
    add(store, "running", queue=queue)
    claimed(store, "running")
    add(store, "late", "late-paused", queue=queue, due=store.now() + 900)
    add(store, "here", "here-paused", queue=queue)
    acting = Acting(store, 200)
    assert acting.pause("here-paused")
    assert acting.pause("late-paused")
    return {id: look.find(store, id).status for id in IDS}  # type: ignore[union-attr]


IDS = ("done", "bad", "retries", "running", "late", "late-paused", "here", "here-paused")
