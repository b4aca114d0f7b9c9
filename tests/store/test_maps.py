"""What the store does for maps alone: outcomes that are let go, and jobs that are cancelled by how their ids begin."""

from __future__ import annotations

import pytest
from play import enqueue, hire, new_job, results_of, tried_again, turn, waiting

from tempotask.store import look
from tempotask.store.acting import Acting
from tempotask.store.check import check
from tempotask.store.pages import decode_page
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


@pytest.fixture
def left_off(store: Store) -> str:
    """A map that was left while a worker held three of its jobs, and one of another: the turn it holds them in."""
    hire(store, "w")
    enqueue(store, "mine-0", "mine-1", "other-0", "mine-2", given_id=True)
    enqueue(store, *(f"rest-{number}" for number in range(4)), given_id=True)
    held = turn(store, "w", 1, 4).batch
    assert held is not None
    assert held.records[-1].id == "mine-2"
    assert Acting(store, 200).cancel_begun_with("mine-", "q") == 0
    return held.turn


def statuses(store: Store) -> list[str]:
    """Of the four, in their order."""
    found = [look.find(store, id) for id in ("mine-0", "mine-1", "other-0", "mine-2")]
    return [one.status if one else "gone" for one in found]


def test_jobs_that_fail_after_their_map_was_left_are_not_tried_again(store: Store, left_off: str) -> None:
    left_at = store.now()
    while store.now() < left_at + 0.01:
        pass
    batch = turn(store, "w", 2).batch
    assert batch is not None
    assert [record.id for record in batch.records] == ["mine-0", "mine-1", "other-0", "mine-2"]
    pauses = iter((0, 3_600_000, 3_600_000, 3_600_000))
    turn(store, "w", 3, 0, results_of(batch, how=lambda record: tried_again(record, next(pauses))))
    assert statuses(store) == ["cancelled", "cancelled", "delayed", "cancelled"]
    (page,) = store.read("LRANGE", "history:q:cancelled", 0, 0)
    assert left_at + 0.005 < decode_page(page).jobs[0].ended <= store.now()
    assert check(store) == []


def test_jobs_that_a_worker_gives_back_after_their_map_was_left_are_cancelled(store: Store, left_off: str) -> None:
    store.ask("client", ["mine-1"])
    assert store.give_back_tail("w", left_off, 1) == 1
    assert waiting(store)[:2] == ["other-0", "rest-0"]
    assert statuses(store) == ["processing", "cancelled", "waiting", "cancelled"]
    assert [outcome is not None for outcome in store.outcomes_of(["mine-1", "mine-2"])] == [True, True]
    assert check(store) == []


def test_so_are_those_of_a_worker_that_dies(store: Store, left_off: str) -> None:
    assert store.give_back_all("w") == (1, False)
    assert statuses(store) == ["cancelled", "cancelled", "waiting", "cancelled"]
    assert check(store) == []


def test_one_that_is_tried_again_by_hand_is_given_back_as_any_other(store: Store, left_off: str) -> None:
    store.give_back_tail("w", left_off, 1)
    assert Acting(store, 200).retry("mine-2")
    hire(store, "w2")
    number = 1
    while (reply := turn(store, "w2", number, 1)).ids != ["mine-2"]:
        assert reply.batch is not None
        number += 1
        turn(store, "w2", number, 0, results_of(reply.batch))
        number += 1
    assert store.give_back_all("w2") == (1, False)
    assert statuses(store)[3] == "waiting"
