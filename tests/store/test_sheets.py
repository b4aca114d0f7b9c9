"""Outcomes that nobody has asked for stay in sheets; whoever asks finds them all the same."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from typing import Any, cast

import pytest
import redis
from play import Results, act, completed, enqueue, failed, hire, results_of, turn

from tempotask.store import look
from tempotask.store.check import check
from tempotask.store.lists import Filter
from tempotask.store.repair import repair
from tempotask.store.revising import Revising
from tempotask.store.store import Limits, Store

numbers = itertools.count(1)


@pytest.fixture
def worker(store: Store) -> Iterator[str]:
    hire(store, "w")
    yield "w"
    assert check(store) == []


def new_ids(count: int) -> list[str]:
    return [f"j{next(numbers)}" for _ in range(count)]


def run(store: Store, worker: str, ids: list[str], how: Any = completed, want: int = 1000, before: int = 0) -> None:
    """These jobs, and those that waited before, run by the worker."""
    for first in range(0, len(ids), 1000):
        enqueue(store, *ids[first : first + 1000])
    ended, left = Results(), before + len(ids)
    while left:
        batch = turn(store, worker, next(numbers), want, ended).batch
        assert batch
        ended = results_of(batch, how=how)
        left -= len(batch.records)
    turn(store, worker, next(numbers), 0, ended)


def found(store: Store, id: str) -> look.Found:
    job = look.find(store, id)
    assert job is not None
    # To look has spread the sheets: here are some again.
    store.read("DEL", "asked")
    run(store, "w", new_ids(3))
    assert in_sheets(store) > 0
    return job


def in_sheets(store: Store) -> int:
    (bucket,) = store.read("ZRANGE", "buckets", 0, -1)
    return int(store.read("LLEN", f"sheets:{bucket.decode()}"))


def test_what_nobody_has_asked_for_is_kept_in_one_piece_and_told_to_who_asks(store: Store, worker: str) -> None:
    ids = new_ids(100)
    run(store, worker, ids)
    assert in_sheets(store) > 0
    assert check(store) == []
    assert None not in store.outcomes_of(ids)
    assert in_sheets(store) == 0
    assert store.read("HMGET", "results", "n") == [b"100"]


def told(store: Store, client: str) -> list[tuple[str, bytes]]:
    """What a client was told, in the order of the telling."""
    connection = store.server.connection(timeout=10.0)
    found: list[tuple[str, bytes]] = []
    while some := store.told(client, cast(redis.Connection, connection), 0.01):
        found += some
    connection.disconnect()  # type: ignore[no-untyped-call]
    return found


def test_who_waits_for_all_jobs_of_a_turn_is_told_in_one_piece_and_may_ask_all_the_same(
    store: Store, worker: str
) -> None:
    ids = new_ids(10)
    assert store.ask("c", ids) == [None] * 10
    run(store, worker, ids)
    assert store.read("LLEN", "waits:c") < 10
    assert store.read("EXISTS", "waiters") == 0
    news = told(store, "c")
    assert sorted(id for id, _ in news) == sorted(ids)
    assert [outcome for _, outcome in news] == store.outcomes_of([id for id, _ in news])


def test_what_is_let_go_of_is_taken_out_of_its_piece_and_others_stay(store: Store, worker: str) -> None:
    ids = new_ids(6000)
    run(store, worker, ids)
    gone, left = ids[:1000], ids[1000:]
    while store.run("forget", *gone):
        pass
    assert int(store.read("HGET", "results", "n")) == len(left)
    assert store.outcomes_of(gone) == [None] * len(gone)
    assert None not in store.outcomes_of(left)
    assert check(store) == []


def test_what_is_told_in_one_piece_is_kept_for_a_while_even_if_it_is_not_to_be_kept(store: Store, worker: str) -> None:
    ids = new_ids(10)
    store.ask("c", ids)
    run(store, worker, ids, functools.partial(completed, keep=0))
    assert len(told(store, "c")) == 10
    assert None not in store.outcomes_of(ids)


@pytest.mark.parametrize("others", ["some_by_nobody", "some_by_others", "one_by_two"])
def test_where_not_one_client_waits_for_all_each_is_told_of_its_jobs_alone(
    store: Store, worker: str, others: str
) -> None:
    ids = new_ids(10)
    store.ask("c", ids[:5])
    theirs: list[str] = {"some_by_nobody": [], "some_by_others": ids[5:], "one_by_two": ids[4:]}[others]
    if theirs:
        store.ask("d", theirs)
    run(store, worker, ids)
    assert sorted(id for id, _ in told(store, "c")) == sorted(ids[:5])
    assert sorted(id for id, _ in told(store, "d")) == sorted(theirs)
    assert store.read("EXISTS", "waiters") == 0


def test_a_job_with_an_id_of_its_user_is_told_with_others_and_its_id_is_free_again(store: Store, worker: str) -> None:
    enqueue(store, "mine", given_id=True)
    store.ask("c", ["mine"])
    run(store, worker, ids := new_ids(3), before=1)
    assert [id for id, _ in told(store, "c")] == ["mine"]
    assert store.read("EXISTS", "ids") == 0
    assert None not in store.outcomes_of(["mine", *ids])


def test_what_is_no_sheet_tells_nobody_anything(store: Store, worker: str) -> None:
    store.notify(["waits:c"], b"\0\0\0\5\0\0\0\5\xff\xff\xff")
    assert told(store, "c") == []


def test_waiting_for_one_job_does_not_spread_the_outcomes_of_others(store: Store, worker: str) -> None:
    store.ask("c", ["unknown"])
    enqueue(store, "given", given_id=True, queue="other")
    assert act(store, "pause", "list", "queue:0:other", 0, 10, id="given")[0] == 1
    run(store, worker, new_ids(10))
    assert in_sheets(store) > 0
    store.unwait("c", ["unknown"])


def test_who_asks_gets_to_the_end_of_more_than_the_server_spreads_at_a_time(store: Store, worker: str) -> None:
    ids = new_ids(15_000)
    run(store, worker, ids)
    assert store.ask("c", [ids[0], "unknown", ids[-1]])[1] is None
    store.unwait("c", ["unknown"])
    assert in_sheets(store) == 0
    for first in range(0, len(ids), 1000):
        assert None not in store.outcomes_of(ids[first : first + 1000])


def test_a_job_that_is_deleted_or_runs_again_takes_its_outcome_out_of_its_sheet(store: Store, worker: str) -> None:
    ids = new_ids(20)
    run(store, worker, ids, failed)
    first, second, *_ = ids
    assert in_sheets(store) > 0
    revising = Revising(store)
    assert revising.one(found(store, first), again=False) == "done"
    assert store.outcomes_of([first]) == [None]
    run(store, worker, new_ids(1))
    assert revising.one(found(store, second), again=True) == "done"
    assert store.outcomes_of([second]) == [None]
    assert revising.all(Filter(status="failed"), again=False) == 18


def test_sheets_count_for_how_many_outcomes_are_kept(store: Store, worker: str) -> None:
    small = Store(store.server, store.namespace, limits=Limits(2000, 1 << 20))
    ids = new_ids(6000)
    run(small, worker, ids, want=50)
    kept = int(store.read("HGET", "results", "n"))
    assert 1500 <= kept <= 2000
    assert store.outcomes_of(ids[-1000:]).count(None) == 0


def test_a_sheet_that_cannot_be_read_is_let_go(store: Store, worker: str) -> None:
    ids = new_ids(10)
    run(store, worker, ids)
    (bucket,) = store.read("ZRANGE", "buckets", 0, -1)
    key = f"{store.prefix}sheets:{bucket.decode()}"
    client = store.server.client()
    for bad in (b"", b"\0\0\0\5\0\0\0\5\xff\xff\xff", b"x" * 7, b"\0\0\0\1\0\0\0\1\x91\x01\x91\xa1x"):
        client.lpush(key, bad)
    assert check(store) != []
    repair(store)
    assert check(store) == []
    assert None not in store.outcomes_of(ids)
