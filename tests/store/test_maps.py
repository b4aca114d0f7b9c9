"""What the store does for maps alone: outcomes that are let go, and jobs that are cancelled by how their ids begin."""

from __future__ import annotations

from play import enqueue, hire, new_job, results_of, tried_again, turn

from tempotask.store import look
from tempotask.store.acting import Acting
from tempotask.store.check import check
from tempotask.store.records import decode_record
from tempotask.store.store import Store


def finished(store: Store, *ids: str) -> None:
    """Has these jobs end well, and their outcomes kept one by one."""
    hire(store, "w")
    enqueue(store, *ids)
    store.ask("client", list(ids))
    number, batch = 1, turn(store, "w", 1).batch
    while batch is not None:
        number += 1
        batch = turn(store, "w", number, results=results_of(batch)).batch


def kept(store: Store) -> int:
    return int(store.read("HGET", "results", "n"))


def test_forgotten_outcomes_are_gone_and_others_are_not(store: Store) -> None:
    finished(store, "a", "b", "c")
    assert store.run("forget", "a", "c", "a", "nobody") == 0
    assert [outcome is not None for outcome in store.outcomes_of(["a", "b", "c"])] == [False, True, False]
    assert kept(store) == 1
    assert check(store) == []


def test_to_forget_twice_is_to_forget_once(store: Store) -> None:
    finished(store, "a", "b")
    assert [store.run("forget", "a"), store.run("forget", "a"), store.run("forget")] == [0, 0, 0]
    assert kept(store) == 1
    assert int(store.read("HGET", "results", "b")) == len(store.outcomes_of(["b"])[0] or b"")


def test_jobs_are_cancelled_by_how_their_ids_begin_wherever_they_wait(store: Store) -> None:
    hire(store, "w")
    later = store.now() + 3600
    mine = [f"mine-{number}" for number in range(2500)]
    enqueue(store, "mine-tried", "mine-held", given_id=True)
    batch = turn(store, "w", 1, 1).batch
    assert batch is not None
    again = results_of(batch)._replace(endings=(tried_again(batch.records[0], 3_600_000),))
    assert turn(store, "w", 2, 1, again).ids == ["mine-held"]
    for first in range(0, 2500, 500):
        enqueue(store, *mine[first : first + 500], given_id=True)
        enqueue(store, f"min-{first}", f"other-mine-{first}", given_id=True)
    store.enqueue(
        store.new_call(),
        [new_job("mine-late", due=later, given_id=True), new_job("late-mine-", due=later, given_id=True)],
    )
    acting = Acting(store, 200)
    assert acting.pause("mine-7")
    assert acting.cancel_begun_with("mine-", "other") == 0
    assert acting.cancel_begun_with("mine-", "q") == len(mine) + 2
    left = [decode_record(stored).id for stored in store.read("LRANGE", "queue:0:q", 0, -1) if stored]
    assert left == [f"{beginning}-{first}" for first in range(0, 2500, 500) for beginning in ("min", "other-mine")]
    statuses = {id: found.status for id in ("mine-held", "late-mine-") if (found := look.find(store, id))}
    assert statuses == {"mine-held": "processing", "late-mine-": "delayed"}
    assert acting.cancel_begun_with("mine-", "q") == 0
    assert check(store) == []
