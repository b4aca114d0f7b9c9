"""What the scripts keep of finished jobs, and whom they tell: history, payloads, outcomes, waiters."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest
from play import (
    HOUR,
    ROOM,
    Results,
    act,
    completed,
    enqueue,
    failed,
    hire,
    names,
    results_of,
    turn,
    waiting,
)

from tempotask.store import lists
from tempotask.store.acting import Acting
from tempotask.store.check import check
from tempotask.store.lists import Filter
from tempotask.store.numbers import MOST_TOLD
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


def pages_of_jobs(store: Store, size: int, count: int, limit: int, first: int = 0) -> list[str]:
    """Jobs that failed, so many on each page of history; their ids, in the order in which they ended."""
    ids, worker = [f"j{number}" for number in range(first, first + count)], f"w{first}"
    hire(store, worker)
    enqueue(store, *ids, payload=b"x" * 5000)
    # A worker gets no more than half of what waits.
    enqueue(store, *(f"behind {number}" for number in range(2 * count)), name="behind")
    ended = Results()
    for number in range(-(-count // size) + 1):
        left = max(0, min(size, count - number * size))
        batch = turn(store, worker, number + 1, left, ended, limit=limit, room=10 * ROOM).batch
        if batch:
            assert [record.id for record in batch.records] == ids[number * size :][:left]
            ended = results_of(batch, how=failed)
    store.give_back_all(worker)
    Acting(store, 0).delete_all(Filter(name="behind"))
    return ids


def shown(store: Store, **wanted: Any) -> list[str]:
    return [found.id for found in lists.jobs(store, limit=1000, **wanted)[0]]


@pytest.mark.parametrize("size", [1, 3, 7, 30])
def test_history_keeps_exactly_as_many_jobs_as_it_may(store: Store, size: int) -> None:
    ids = pages_of_jobs(store, size, 90, limit=10)
    assert shown(store, status="failed") == ids[:-11:-1]
    assert lists.newest(store, 100)[0].stats["failed"] == 10
    assert [found.id for found in lists.newest(store, 100)[0].jobs["failed"]] == ids[:-11:-1]
    assert check(store) == []


def test_what_history_does_not_keep_any_more_is_not_acted_on_and_does_not_come_back(store: Store) -> None:
    ids = pages_of_jobs(store, 7, 21, limit=10)
    acting = Acting(store, 10)
    assert acting.delete(ids[-1])
    assert shown(store) == ids[-2:-11:-1]
    assert acting.retry_all(Filter(status="failed")) == 9
    assert waiting(store) == ids[-10:-1]
    assert acting.delete_all(Filter()) == 9
    assert shown(store) == []
    assert not store.read("EXISTS", "history:q:failed")
    assert not [name for name in names(store) if name.startswith("payload:")]
    assert check(store) == []


def test_a_history_that_may_keep_less_than_before_does(store: Store) -> None:
    pages_of_jobs(store, 7, 21, limit=1000)
    ids = pages_of_jobs(store, 1, 1, limit=5, first=21)
    assert len(shown(store)) == 5
    assert shown(store)[0] == ids[-1]
    pages_of_jobs(store, 1, 1, limit=0, first=22)
    assert shown(store) == []
    assert check(store) == []


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


def test_a_bucket_whose_outcomes_were_all_let_go_of_goes_when_its_time_is_over(store: Store) -> None:
    hire(store, "w")
    settle(store, "w", 1, "a", keep=1)
    # Asked for, it is no longer in one piece with others.
    store.outcomes_of(["a"])
    store.run("forget", "a")
    end = time.monotonic() + 60
    while store.read("ZCARD", "buckets") and time.monotonic() < end:
        assert store.renew("s", 10, tidy=True)
    assert not [name for name in names(store) if name.startswith(("outcomes:", "buckets"))]
    assert store.read("HMGET", "results", "n", "b") == [b"0", b"0"]


def test_a_bucket_whose_outcomes_were_all_let_go_of_makes_room_for_others(store: Store) -> None:
    store.limits = Limits(results=50)
    hire(store, "w")
    settle(store, "w", 1, "first", keep=100 * HOUR)
    assert store.outcomes_of(["first"]) != [None]
    store.run("forget", "first")
    for i in range(20):
        settle(store, "w", 100 * (i + 1), *(f"{i}-{j}" for j in range(10)))
    assert int(store.read("HGET", "results", "n")) <= 50
    assert store.outcomes_of(["19-0"]) != [None]


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


def test_of_large_outcomes_who_falls_behind_is_told_that_there_are_some(store: Store) -> None:
    hire(store, "w")
    size = MOST_TOLD // 10
    for number in range(1, 13):
        store.ask("me", [f"a{number}"])
        settle(store, "w", 10 * number, f"a{number}", result=b"x" * size)
    told = store.read("LRANGE", "waits:me", 0, -1)
    assert [len(one) > size for one in told] == [True] * 9 + [False] * 3
    assert told[-1] == b"a12 "
    (outcome,) = store.outcomes_of(["a12"])
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
