"""The results of many handles at once, in the order of the handles or as they come; the worker is played by hand."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import msgspec
import pytest
from store.by_hand import LONG, Hand, done, failed, returned, until

from tempotask import InvalidOptions, JobFailed, JobHandles, JobNotFound, QueueManager, as_completed
from tempotask.store.records import Outcome
from tempotask.store.store import Store


def test_results_come_in_order_while_jobs_end(manager: QueueManager[Any], hand: Hand) -> None:
    handles = manager.enqueue_many({"name": "job", "queue": "q", "data": n} for n in range(5000))
    hand.finish(1000, done)
    thread = threading.Thread(target=hand.finish, args=(4000, done))
    thread.start()
    assert handles.results(timeout=LONG) == [f"result of {handle.id}" for handle in handles]
    thread.join()
    assert [handle.result(timeout=LONG) for handle in handles[:50]] == [f"result of {h.id}" for h in handles[:50]]


@pytest.mark.parametrize("given", ["far", ["far"], [None], 5])
def test_as_completed_asks_for_handles(given: Any) -> None:
    with pytest.raises(InvalidOptions, match=r"as_completed takes handles, and .* is none; .*manager\.handle\(id\)"):
        as_completed(given)


def test_all_of_results_are_asked_for_before_the_first_is_waited_for(manager: QueueManager[Any], hand: Hand) -> None:
    jobs = [{"name": "job", "queue": "q", "options": {"keep_result": 0}} for _ in range(2000)]
    handles = manager.enqueue_many(jobs)
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.extend(handles.results(timeout=LONG)))
    thread.start()
    until(lambda: manager._client.store.read("HLEN", "waiters") == 2000)
    hand.finish(2000, done, keep=0)
    thread.join()
    assert results == [f"result of {handle.id}" for handle in handles]


def test_the_first_failure_in_order_is_raised(manager: QueueManager[Any], hand: Hand) -> None:
    handles = manager.enqueue_many({"name": "job", "queue": "q"} for _ in range(3))
    hand.finish(3, lambda id: done(id) if id == handles[0].id else failed("ValueError")(id))
    with pytest.raises(JobFailed, match=handles[1].id):
        handles.results(timeout=LONG)


def test_large_results_reach_who_waits(manager: QueueManager[Any], hand: Hand) -> None:
    large = msgspec.Raw(msgspec.msgpack.encode("x" * 1_000_000))
    handles = manager.enqueue_many({"name": "job", "queue": "q"} for _ in range(10))
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.extend(handles.results(timeout=LONG)))
    thread.start()
    until(lambda: manager._client.store.read("HLEN", "waiters") == 10)
    hand.finish(10, lambda id: Outcome("completed", "q", "job", large))
    thread.join()
    assert results == ["x" * 1_000_000] * 10


def test_handles_come_as_their_jobs_finish(manager: QueueManager[Any], hand: Hand) -> None:
    slow = manager.enqueue(name="job", queue="slow")
    held = hand.claim()
    quick = manager.enqueue_many({"name": "job", "queue": "q", "options": {"keep_result": 0}} for _ in range(20))
    thread = threading.Thread(target=_finish_when_waited_for, args=(manager, 21))
    thread.start()
    came = []
    for handle in as_completed([slow, *quick], timeout=LONG):
        came.append(handle)
        if len(came) == 20:
            hand.settle(held, done)
    thread.join()
    assert set(came[:20]) == set(quick)
    assert came[20] is slow
    # Also what the server does not keep can be read from the handles that came.
    assert [handle.result(timeout=LONG) for handle in came] == [f"result of {handle.id}" for handle in came]


def test_handles_come_as_their_jobs_finish_in_async_for(manager: QueueManager[Any], hand: Hand) -> None:
    async def collect() -> None:
        handles = manager.enqueue_many({"name": "job", "queue": "q"} for _ in range(20))
        thread = threading.Thread(target=hand.finish, args=(20, done))
        thread.start()
        came = [handle async for handle in as_completed(handles, timeout=LONG)]
        thread.join()
        assert set(came) == set(handles)
        left = manager.enqueue(name="job", queue="q")
        with pytest.raises(TimeoutError, match="1 jobs have not finished"):
            async for _ in as_completed([*handles, left], timeout=1):
                pass

    asyncio.run(collect())


def _finish_when_waited_for(manager: QueueManager[Any], jobs: int) -> None:
    until(lambda: manager._client.store.read("HLEN", "waiters") == jobs)
    Hand(manager._client.store).finish(jobs - 1, done, 0)


def test_results_stay_in_order_while_others_wait_for_the_same_handles(manager: QueueManager[Any], hand: Hand) -> None:
    handles = manager.enqueue_many({"name": "job", "queue": "q"} for _ in range(200))

    async def both() -> list[Any]:
        results, *_ = await asyncio.gather(handles.aresults(), *(handle.wait() for handle in handles))
        return results

    thread = threading.Thread(target=hand.finish, args=(200, done))
    thread.start()
    assert asyncio.run(both()) == [f"result of {handle.id}" for handle in handles]
    thread.join()


def test_the_first_that_finishes_is_asked_for_by_next(manager: QueueManager[Any], hand: Hand) -> None:
    handles = manager.enqueue_many({"name": "job", "queue": "q"} for _ in range(3))
    finishing = as_completed(handles, timeout=LONG)
    hand.finish_one_by_one(1)
    first = next(finishing)
    assert first is handles[0]
    hand.finish(2, done)
    assert {first, *finishing} == set(handles)
    with pytest.raises(StopIteration):
        next(finishing)


def test_the_first_that_finishes_is_asked_for_by_anext(manager: QueueManager[Any], hand: Hand) -> None:
    handles = manager.enqueue_many({"name": "job", "queue": "q"} for _ in range(3))
    hand.finish(3, done)

    async def ask() -> set[Any]:
        finishing = as_completed(handles, timeout=LONG)
        return {await anext(finishing)} | {handle async for handle in finishing}

    assert asyncio.run(ask()) == set(handles)


def test_results_beside_as_completed_are_each_their_own(manager: QueueManager[Any], hand: Hand) -> None:
    for _ in range(10):
        handles = manager.enqueue_many({"name": "job", "queue": "q"} for _ in range(200))
        threads = [
            threading.Thread(target=hand.finish, args=(200, done)),
            threading.Thread(target=lambda handles=handles: list(as_completed(handles, timeout=LONG))),
        ]
        for thread in threads:
            thread.start()
        assert handles.results(timeout=LONG) == [f"result of {handle.id}" for handle in handles]
        for thread in threads:
            thread.join()


def test_a_handle_that_is_twice_among_others_gives_its_result_twice(manager: QueueManager[Any], hand: Hand) -> None:
    (handle,) = manager.enqueue_many([{"name": "job", "queue": "q"}])
    hand.finish(1, done)
    assert list(as_completed([handle], timeout=LONG)) == [handle]
    assert JobHandles([handle, handle]).results(timeout=LONG) == [f"result of {handle.id}"] * 2


@pytest.mark.usefixtures("patient")
def test_who_waits_is_told_also_where_next_to_nothing_is_kept(server_url: str, namespace: str) -> None:
    with QueueManager.init(server_url, namespace=namespace, options={"max_results": 1}) as manager:
        handles = manager.enqueue_many({"name": "job", "queue": "q"} for _ in range(50))
        hand, results = Hand(manager._client.store), list[Any]()
        thread = threading.Thread(target=lambda: results.extend(handles.results(timeout=LONG)))
        thread.start()
        until(lambda: manager._client.store.read("HLEN", "waiters") == 50)
        for _ in handles:
            hand.settle(hand.claim(1), returned("x" * 100_000))
        thread.join()
    assert results == ["x" * 100_000] * 50


def test_results_of_a_job_that_nobody_knows_are_not_waited_for(manager: QueueManager[Any], hand: Hand) -> None:
    added = manager.enqueue(name="job", queue="q")
    hand.finish(1, done)
    with pytest.raises(JobNotFound):
        JobHandles([added, manager.handle("unknown")]).results(timeout=LONG)


async def _results_of(handles: JobHandles[Any]) -> list[Any]:
    return await handles.aresults(timeout=LONG)


def test_results_may_be_those_of_several_managers(server_url: str, manager: QueueManager[Any], hand: Hand) -> None:
    with QueueManager.init(server_url, namespace=f"{manager.namespace}-other") as other:
        handles = JobHandles([manager.enqueue(name="job", queue="q"), other.enqueue(name="job", queue="q")])
        hand.finish(1, done)
        Hand(other._client.store).finish(1, done)
        assert handles.results(timeout=LONG) == [f"result of {handle.id}" for handle in handles]
        assert asyncio.run(_results_of(handles)) == [f"result of {handle.id}" for handle in handles]
        other.delete_all_jobs()


def test_outcomes_that_are_kept_for_a_moment_do_not_pile_up(manager: QueueManager[Any], hand: Hand) -> None:
    """Each moment has a bucket of its own, and no supervisor is there to let go of them."""
    store = manager._client.store
    for _ in range(200):
        manager.enqueue(name="job", queue="q")
        hand.finish(1, done, keep=1)
    assert store.read("ZCARD", "buckets") < 60


def test_so_many_buckets_that_they_are_no_single_command_are_looked_into(
    manager: QueueManager[Any], hand: Hand, admin: Store
) -> None:
    """As an earlier version may have left."""
    client, later = admin.server.client(), int(time.time() * 1000) + 10**7
    client.zadd(f"{admin.prefix}buckets", {f"{later}.{n}": n for n in range(1, 9001)})
    handle = manager.enqueue(name="job", queue="q")
    hand.finish(1, done)
    assert handle.result(timeout=LONG) == f"result of {handle.id}"
