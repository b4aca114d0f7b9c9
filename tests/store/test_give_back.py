"""What the script promises that gives jobs back. One test a promise, on a real server."""

from __future__ import annotations

from play import crashed, enqueue, failed, hire, names, results_of, ring, settlement, turn, waiting, woken

from tempotask.store.records import decode_outcome, decode_record, encode, raised
from tempotask.store.store import Store


def test_a_steal_gives_the_rest_of_a_batch_back_to_the_front_in_its_old_order(store: Store) -> None:
    hire(store, "w")
    enqueue(store, *"abcdefghij")
    batch = turn(store, "w", 1, 5).batch
    assert batch
    assert store.give_back_tail("w", batch.turn, 2) == 3
    assert waiting(store) == list("cdefghij")
    assert store.give_back_tail("w", batch.turn, 2) == 0
    assert waiting(store) == list("cdefghij")


def test_what_is_stolen_goes_to_an_idle_worker_at_once(store: Store) -> None:
    hire(store, "w", "w2")
    enqueue(store, *"abcdefgh")
    batch = turn(store, "w", 1, 2).batch
    assert batch
    number = 0
    other = None
    while (reply := turn(store, "w2", number + 1, 9, results_of(other) if other else None)).kind == "jobs":
        number, other = number + 1, reply.batch
    assert store.give_back_tail("w", batch.turn, 1) == 1
    handed = woken(store, "w2", number + 1)
    assert handed
    assert [record.id for record in handed.records] == ["b"]
    assert waiting(store) == []


def test_jobs_given_back_keep_their_queue_and_priority(store: Store) -> None:
    hire(store, "w")
    enqueue(store, "a", "b", "c", priority=7)
    enqueue(store, "d", "e", "f", queue="r")
    assert turn(store, "w", 1, 6).ids == ["a", "d"]
    store.give_back_all("w")
    assert waiting(store, "q", 7) == ["a", "b", "c"]
    assert waiting(store, "r") == ["d", "e", "f"]
    assert sorted(ring(store)) == ["q", "r"]


def test_all_that_a_worker_held_goes_back_and_it_is_forgotten(store: Store) -> None:
    hire(store, "w")
    enqueue(store, *"abcd")
    assert turn(store, "w", 1).ids == ["a", "b"]
    assert store.give_back_all("w") == (2, False)
    assert waiting(store) == list("abcd")
    assert turn(store, "w", 2).kind == "gone"
    assert not [name for name in names(store) if name.startswith(("worker", "claims", "idle", "wake"))]
    assert store.give_back_all("w") == (0, False)


def test_a_verdict_counts_a_crash_and_that_job_runs_alone_from_then_on(store: Store) -> None:
    hire(store, "w", "w2")
    enqueue(store, *(f"j{i}" for i in range(24)))
    batch = turn(store, "w", 1, 3).batch
    assert batch
    assert store.give_back_all("w", batch.turn, [1], [crashed(batch, 1)]) == (3, True)
    first = turn(store, "w2", 1).batch
    assert first
    assert [record.id for record in first.records] == ["j0"]
    alone = turn(store, "w2", 2, results=results_of(first)).batch
    assert alone
    assert [(record.id, record.flags) for record in alone.records] == [("j1", "c1")]
    assert turn(store, "w2", 3, results=results_of(alone)).ids[0] == "j2"


def test_a_verdict_settles_the_job_that_it_is_on(store: Store) -> None:
    hire(store, "w")
    enqueue(store, *"abcd")
    batch = turn(store, "w", 1).batch
    assert batch
    assert store.give_back_all("w", batch.turn, [0], (), settlement([failed(batch.records[0])])) == (1, True)
    (outcome,) = store.outcomes_of(["a"])
    assert outcome
    assert decode_outcome(outcome).status == "failed"
    assert waiting(store) == list("bcd")


def test_a_verdict_on_a_job_that_is_not_held_does_not_count(store: Store) -> None:
    hire(store, "w")
    enqueue(store, *"abcd")
    batch = turn(store, "w", 1).batch
    assert batch
    turn(store, "w", 2, 0, results_of(batch, 0, 1))
    before = store.outcomes_of(["a"])
    assert store.give_back_all("w", batch.turn, [0], (), settlement([failed(batch.records[0])])) == (1, False)
    assert store.outcomes_of(["a"]) == before
    assert waiting(store) == list("bcd")


def test_a_job_that_went_meanwhile_does_not_keep_the_others_from_being_marked(store: Store) -> None:
    hire(store, "w")
    enqueue(store, *"abcdef")
    batch = turn(store, "w", 1).batch
    assert batch
    a, b, c = batch.records
    turn(store, "w", 2, 0, results_of(batch, 0, 1))
    suspects = [(index, encode(raised(record, "h"))) for index, record in enumerate((a, b, c))]
    assert store.give_back_all("w", batch.turn, [2], suspects[:2], settlement([failed(c)])) == (1, True)
    assert [decode_record(record).flags for record in store.read("LRANGE", "queue:0:q", 0, 0)] == ["h1"]
    assert waiting(store) == list("bdef")


def test_what_was_settled_early_is_not_given_back(store: Store) -> None:
    hire(store, "w")
    enqueue(store, *"abcd")
    batch = turn(store, "w", 1).batch
    assert batch
    turn(store, "w", 2, 0, results_of(batch, 0, 1))
    assert store.give_back_all("w") == (1, False)
    assert waiting(store) == list("bcd")
