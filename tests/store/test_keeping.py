"""What the scripts keep of finished jobs, and whom they tell: history, payloads, outcomes, waiters."""

from __future__ import annotations

import time

import msgspec
import pytest
from play import (
    HOUR,
    act,
    completed,
    enqueue,
    failed,
    hire,
    names,
    results_of,
    turn,
)

from tempotask.store.check import check
from tempotask.store.pages import decode_page, keys_of
from tempotask.store.records import decode_outcome
from tempotask.store.store import Limits, Store


def test_history_keeps_the_newest_and_lets_go_of_payloads_with_the_rest(store: Store) -> None:
    hire(store, "w")
    number = 0
    for i in range(6):
        enqueue(store, f"j{i}", payload=b"x" * 5000)
        batch = turn(store, "w", number + 1).batch
        assert batch
        turn(store, "w", number + 2, 0, results_of(batch, how=failed), limit=2)
        number += 2
    pages = [decode_page(page) for page in store.read("LRANGE", "history:q:failed", 0, -1)]
    assert [job.record.id for page in pages for job in page.jobs] == ["j5", "j4"]
    assert {name.rpartition(":")[2] for name in names(store) if name.startswith("payload:")} == {"j4", "j5"}
    assert store.read("HMGET", "counts:q", "failed", "failed:kept") == [b"6", b"2"]


def test_the_payload_of_a_job_run_again_outlives_the_history_of_its_first_run(store: Store) -> None:
    hire(store, "w")
    enqueue(store, "a", payload=b"1" * 5000, given_id=True)
    batch = turn(store, "w", 1).batch
    assert batch
    turn(store, "w", 2, 0, results_of(batch, how=failed), limit=1)
    enqueue(store, "b")
    batch = turn(store, "w", 3).batch
    assert batch
    enqueue(store, "a", payload=b"2" * 5000, given_id=True)
    batch = turn(store, "w", 4, 10, results_of(batch, how=failed), limit=1).batch
    assert batch
    assert msgspec.msgpack.decode(batch.payloads[0]) == b"2" * 5000


def test_the_payload_of_a_completed_job_is_let_go(store: Store) -> None:
    hire(store, "w")
    enqueue(store, "a", payload=b"x" * 5000)
    batch = turn(store, "w", 1).batch
    assert batch
    turn(store, "w", 2, 0, results_of(batch))
    assert not [name for name in names(store) if name.startswith("payload:")]


@pytest.mark.parametrize("limit", [0, 2])
def test_payloads_of_cancelled_jobs_beyond_what_history_keeps_are_let_go(store: Store, limit: int) -> None:
    enqueue(store, *(f"j{i}" for i in range(5)), payload=b"x" * 5000)
    assert act(store, "cancel", "list", "queue:0:q", 0, 100, limit=limit) == (5, "")
    assert len([name for name in names(store) if name.startswith("payload:")]) == limit
    assert check(store) == []


def test_payloads_of_deleted_jobs_are_let_go(store: Store) -> None:
    enqueue(store, "a", "b", payload=b"x" * 5000, given_id=True)
    assert act(store, "delete", "list", "queue:0:q", 0, 100, id="a") == (1, "")
    assert [name.rpartition(":")[2] for name in names(store) if name.startswith("payload:")] == ["b"]
    assert check(store) == []


def test_two_runs_of_one_id_do_not_share_a_payload(store: Store) -> None:
    hire(store, "w")
    enqueue(store, "a", payload=b"1" * 5000, given_id=True)
    batch = turn(store, "w", 1).batch
    assert batch
    turn(store, "w", 2, 0, results_of(batch, how=failed))
    enqueue(store, "a", payload=b"2" * 5000, given_id=True)
    batch = turn(store, "w", 3).batch
    assert batch
    turn(store, "w", 4, 0, results_of(batch))
    (page,) = store.read("LRANGE", "history:q:failed", 0, -1)
    (key,) = keys_of(page)
    assert msgspec.msgpack.decode(store.read("GET", key)) == b"1" * 5000


# -- outcomes


def settle(store: Store, worker: str, number: int, *ids: str, keep: int = HOUR, result: object = None) -> None:
    """Enqueues, runs and completes jobs, in two turns."""
    enqueue(store, *ids)
    batch = turn(store, worker, number, 100).batch
    while batch:
        number += 1
        results = results_of(batch, how=lambda record: completed(record, result, keep))
        batch = turn(store, worker, number, 100, results).batch


def test_outcomes_expire_after_their_time_and_at_most_a_tenth_later(store: Store) -> None:
    hire(store, "w")
    for keep in (1, 999, 3_600_000, 30 * 24 * HOUR):
        before = store.now() * 1000
        settle(store, "w", int(store.now() * 1e6), f"k{keep}", keep=keep)
        newest = store.read("ZREVRANGE", "buckets", 0, 0)[0]
        expiry = int(newest.split(b".")[0])
        assert before + keep - 50 <= expiry <= store.now() * 1000 + 1.1 * keep + 50


def test_an_expired_outcome_is_not_told_and_its_bucket_goes_when_a_supervisor_tidies_up(store: Store) -> None:
    hire(store, "w")
    settle(store, "w", 1, "a", keep=1)
    end = time.monotonic() + 60
    while store.outcomes_of(["a"]) != [None] and time.monotonic() < end:
        pass
    assert store.outcomes_of(["a"]) == [None]
    assert store.renew("s", 10, tidy=True)
    assert not [name for name in names(store) if name.startswith(("outcomes:", "buckets"))]
    assert store.read("HMGET", "results", "n", "b") == [b"0", b"0"]


def test_long_lived_outcomes_do_not_keep_expired_ones(store: Store) -> None:
    hire(store, "w")
    for i in range(12):
        settle(store, "w", 10 * i + 1, f"long{i}", keep=HOUR * (i + 1) * 100)
    settle(store, "w", 1000, "short", keep=1)
    end = time.monotonic() + 60
    while store.outcomes_of(["short"]) != [None] and time.monotonic() < end:
        pass
    assert store.renew("s", 10, tidy=True)
    assert store.read("ZCARD", "buckets") == 12


def test_beyond_the_number_of_results_the_oldest_go(store: Store) -> None:
    store.limits = Limits(results=50)
    hire(store, "w")
    for i in range(20):
        settle(store, "w", 100 * i + 1, *(f"{i}-{j}" for j in range(10)))
    kept = [i for i in range(20) if None not in store.outcomes_of([f"{i}-{j}" for j in range(10)])]
    assert int(store.read("HGET", "results", "n")) <= 50
    assert kept == list(range(20 - len(kept), 20))
    assert len(kept) >= 3


def test_beyond_the_size_of_results_the_oldest_go(store: Store) -> None:
    store.limits = Limits(results_bytes=10_000)
    hire(store, "w")
    for i in range(30):
        settle(store, "w", 100 * i + 1, f"j{i}", result=b"x" * 1000)
    assert int(store.read("HGET", "results", "b")) <= 10_000
    assert store.outcomes_of(["j29"]) != [None]
    assert store.outcomes_of(["j0"]) == [None]


def test_a_waiter_is_told_once_and_then_forgotten(store: Store) -> None:
    hire(store, "w")
    enqueue(store, "a")
    assert store.ask("me", ["a"]) == store.ask("me", ["a"]) == [None]
    batch = turn(store, "w", 1).batch
    assert batch
    turn(store, "w", 2, 0, results_of(batch))
    told = store.read("LRANGE", "waits:me", 0, -1)
    assert len(told) == 1
    id, _, outcome = told[0].partition(b" ")
    assert id == b"a"
    assert decode_outcome(outcome).status == "completed"
    assert "waiters" not in names(store)
    assert store.ask("me", ["a"]) == [outcome]


def test_a_large_outcome_is_left_to_be_asked_for(store: Store) -> None:
    hire(store, "w")
    store.ask("me", ["a"])
    settle(store, "w", 1, "a", result=b"x" * 5000)
    assert store.read("LRANGE", "waits:me", 0, -1) == [b"a "]
    (outcome,) = store.outcomes_of(["a"])
    assert outcome
    assert decode_outcome(outcome).status == "completed"


def test_who_asks_only_is_not_told(store: Store) -> None:
    hire(store, "w")
    assert store.outcomes_of(["a"]) == [None]
    settle(store, "w", 1, "a")
    assert not [name for name in names(store) if name.startswith("wait")]


def test_who_does_not_wait_any_longer_is_not_told(store: Store) -> None:
    hire(store, "w")
    for client in ("me", "you"):
        store.ask(client, ["a", "b"])
    store.unwait("me", ["a", "b"])
    store.unwait("you", ["b"])
    assert store.read("HGETALL", "waiters") == {b"a": b"you"}
    settle(store, "w", 1, "a", "b")
    assert {name for name in names(store) if name.startswith("waits:")} == {"waits:you"}
