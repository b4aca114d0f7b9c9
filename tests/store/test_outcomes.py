"""Waiting for the outcome of a job, against a real server; the worker is played by hand."""

from __future__ import annotations

import asyncio
import queue
import threading
from typing import Any

import msgspec
import pytest
from store.by_hand import LONG, Hand, done, failed, returned, until

from tempotask import (
    Context,
    InvalidPayload,
    Job,
    JobCancelled,
    JobFailed,
    JobHandle,
    JobNotFound,
    JobTimeout,
    QueueManager,
    ResultExpired,
    WorkerCrashed,
    as_completed,
)
from tempotask.store.records import Failure, Outcome


def test_a_result_that_is_there_is_had_at_once(manager: QueueManager[Any], hand: Hand) -> None:
    handle = manager.enqueue(name="job", queue="q")
    hand.settle(hand.claim(), done)
    assert handle.result(timeout=LONG) == f"result of {handle.id}"
    assert handle.result(timeout=LONG) == f"result of {handle.id}"
    assert handle.status() == "completed"


@pytest.mark.usefixtures("patient")
def test_who_waits_is_told(manager: QueueManager[Any], hand: Hand) -> None:
    handle = manager.enqueue(name="job", queue="q")
    batch = hand.claim()
    timer = threading.Timer(0.3, hand.settle, (batch, done))
    timer.start()
    assert handle.result(timeout=LONG) == f"result of {handle.id}"
    timer.join()


@pytest.mark.usefixtures("patient")
def test_who_asks_again_for_what_is_kept_no_longer_is_told_so_at_once(manager: QueueManager[Any], hand: Hand) -> None:
    handle = manager.enqueue(name="job", queue="q")
    hand.settle(hand.claim(), done)
    assert handle.result(timeout=LONG) == f"result of {handle.id}"
    manager._client.store.run("forget", handle.id)
    with pytest.raises(ResultExpired):
        handle.result(timeout=LONG)
    with pytest.raises(ResultExpired):
        asyncio.run(handle.aresult(timeout=LONG))


@pytest.mark.usefixtures("patient")
def test_who_saw_a_job_end_whose_outcome_is_not_kept_is_told_so_at_once(manager: QueueManager[Any], hand: Hand) -> None:
    handle = manager.enqueue(name="job", queue="q")
    hand.finish(1, done)
    assert handle.status() == "completed"
    manager._client.store.run("forget", handle.id)
    with pytest.raises(ResultExpired):
        handle.result(timeout=0.5)


def test_who_polls_for_a_job_that_is_nowhere_hears_so_after_a_while(manager: QueueManager[Any]) -> None:
    handle = manager.enqueue(name="job", queue="q", options={"delay": 3600})
    assert manager.delete_job_by_id(handle.id)
    with pytest.raises(ResultExpired):
        until(lambda: _poll(handle))


def _poll(handle: JobHandle[Any]) -> bool:
    """Waits for a moment; false, if in vain."""
    try:
        handle.result(timeout=0.2)
    except TimeoutError:
        return False
    return True


def test_a_handle_keeps_what_it_saw_however_often_it_waits(manager: QueueManager[Any], hand: Hand) -> None:
    handle = manager.enqueue(name="job", queue="q")
    hand.finish(1, returned("seen"))
    assert asyncio.run(handle.wait(LONG)) == "completed"
    manager._client.store.forget_outcomes([handle.id])
    assert asyncio.run(handle.wait(LONG)) == "completed"
    assert list(as_completed([handle], timeout=LONG)) == [handle]
    assert handle.result(timeout=LONG) == "seen"


def test_who_waits_again_is_told_of_the_newest_run(server_url: str, manager: QueueManager[Any], hand: Hand) -> None:
    handle = manager.enqueue(name="job", queue="q")
    assert handle.cancel()
    assert asyncio.run(handle.wait(LONG)) == "cancelled"
    with QueueManager.init(server_url, namespace=manager.namespace) as other:
        assert other.retry_job_by_id(handle.id)
    hand.finish(1, returned("newer"))
    assert asyncio.run(handle.wait(LONG)) == "completed"


@pytest.mark.usefixtures("patient")
def test_a_job_is_looked_for_before_its_waiting_is_given_up(manager: QueueManager[Any], hand: Hand) -> None:
    handles = manager.enqueue_many({"name": "job", "queue": "q"} for _ in range(3))
    hand.finish(3, done)
    manager._client.store.forget_outcomes([handle.id for handle in handles])
    with pytest.raises(ResultExpired):
        handles[0].result(timeout=1.0)
    with pytest.raises(ResultExpired):
        asyncio.run(handles[1].aresult(timeout=1.0))
    assert list(as_completed(handles[2:], timeout=1.0)) == handles[2:]


def test_handles_follow_a_run_that_somebody_else_has_begun(
    server_url: str, manager: QueueManager[Any], hand: Hand
) -> None:
    handle = manager.enqueue(name="job", queue="q", options={"id": "again"})
    hand.finish(1, done)
    assert asyncio.run(handle.wait(LONG)) == "completed"
    with QueueManager.init(server_url, namespace=manager.namespace) as other:
        assert other.enqueue(name="job", queue="q", options={"id": "again"}).created
        hand.finish(1, returned("newer"))
    assert handle.result(timeout=LONG) == "newer"


@pytest.mark.usefixtures("patient")
def test_who_has_time_is_told_of_many_ends_in_one_go(manager: QueueManager[Any], hand: Hand) -> None:
    outcomes = manager._client.outcomes
    ids = [manager.enqueue(name="job", queue="q").id for _ in range(5)]
    told = queue.SimpleQueue[list[str]]()
    wait = outcomes.begin(ids, lambda: told.put(sorted(wait.take())), known=True)
    outcomes.ask(wait)
    outcomes.rest(LONG)
    hand.finish_one_by_one(1)
    assert told.get(timeout=LONG) == ids[:1]
    hand.finish_one_by_one(4)
    assert told.empty()
    outcomes.rest(0.0)
    assert told.get(timeout=LONG) == ids[1:]


def test_a_result_that_is_not_kept_reaches_only_who_waits(manager: QueueManager[Any], hand: Hand) -> None:
    waited, unwaited = (manager.enqueue(name="job", queue="q", options={"keep_result": 0}) for _ in range(2))
    results: list[object] = []
    thread = threading.Thread(target=lambda: results.append(waited.result(timeout=LONG)))
    thread.start()
    until(lambda: manager._client.store.read("HEXISTS", "waiters", waited.id))
    hand.finish(2, done, keep=0)
    thread.join()
    assert results == [f"result of {waited.id}"]
    with pytest.raises(ResultExpired):
        unwaited.result(timeout=LONG)


@pytest.mark.parametrize(
    ("type", "error"),
    [("app.Odd", JobFailed), ("JobTimeout", JobTimeout), ("WorkerCrashed", WorkerCrashed), ("UnknownTask", JobFailed)],
)
def test_a_failure_arrives_as_text(manager: QueueManager[Any], hand: Hand, type: str, error: type[JobFailed]) -> None:
    handle = manager.enqueue(name="job", queue="q")
    hand.settle(hand.claim(), failed(type))
    with pytest.raises(error) as raised:
        handle.result(timeout=LONG)
    assert (raised.value.type, raised.value.message, raised.value.traceback) == (type, "no luck", "Traceback …")
    assert handle.status() == "failed"


def test_a_cancelled_job_says_so(manager: QueueManager[Any], hand: Hand) -> None:
    handle = manager.enqueue(name="job", queue="q")
    hand.settle(hand.claim(), lambda id: Outcome("cancelled", "q", "job", failure=Failure("JobCancelled", "by hand")))
    with pytest.raises(JobCancelled, match="by hand"):
        handle.result(timeout=LONG)


def test_a_job_that_nobody_knows_is_not_waited_for(manager: QueueManager[Any]) -> None:
    with pytest.raises(JobNotFound, match="nobody knows a job 'stranger'"):
        manager.handle("stranger").result(timeout=LONG)
    with pytest.raises(JobNotFound):
        manager.handle("stranger").status()


def test_absence_is_never_taken_for_an_end(manager: QueueManager[Any]) -> None:
    handle = manager.enqueue(name="job", queue="q")
    # The server loses everything, as one that restarts with no data does.
    client, store = manager._client.server.client(), manager._client.store
    client.unlink(*client.scan_iter(store.prefix + "*"))
    with pytest.raises(ResultExpired):
        handle.result(timeout=LONG)


def test_a_handle_made_from_an_id_waits_for_another_process_job(
    server_url: str, namespace: str, manager: QueueManager[Any], hand: Hand
) -> None:
    with QueueManager.init(server_url, namespace=namespace) as other:
        handle = other.handle(manager.enqueue(name="job", queue="q", options={"id": "mine"}).id)
        timer = threading.Timer(0.2, hand.finish, (1, done))
        timer.start()
        assert handle.result(timeout=LONG) == "result of mine"
        assert (handle.queue, handle.name) == ("q", "job")
        timer.join()


async def _gather(manager: QueueManager[Any], hand: Hand) -> list[Any]:
    handles = [await manager.aenqueue(name="job", queue="q") for _ in range(50)]
    waiting = asyncio.gather(*handles, *(handle.wait(LONG) for handle in handles))
    thread = threading.Thread(target=hand.finish, args=(50, done))
    thread.start()
    got = await waiting
    thread.join()
    assert got[:50] == [f"result of {handle.id}" for handle in handles]
    assert got[50:] == ["completed"] * 50
    with pytest.raises(TimeoutError):
        await (await manager.aenqueue(name="job", queue="q")).wait(0.05)
    return got


def test_a_job_may_be_waited_for_by_many(
    server_url: str, namespace: str, manager: QueueManager[Any], hand: Hand
) -> None:
    handle = manager.enqueue(name="job", queue="q")
    results: list[object] = []
    with QueueManager.init(server_url, namespace=namespace) as other:
        waiting = [handle, handle, other.handle(handle.id), other.handle(handle.id)]
        threads = [threading.Thread(target=lambda one=one: results.append(one.result(LONG))) for one in waiting]
        for thread in threads:
            thread.start()
        until(lambda: len((manager._client.store.read("HGET", "waiters", handle.id) or b"").split()) == 2)
        hand.settle(hand.claim(), done)
        for thread in threads:
            thread.join()
    assert results == [f"result of {handle.id}"] * 4


def test_handles_can_be_awaited(manager: QueueManager[Any], hand: Hand) -> None:
    asyncio.run(_gather(manager, hand))


def test_a_handle_whose_end_was_seen_follows_a_newer_run(manager: QueueManager[Any], hand: Hand) -> None:
    handle = manager.enqueue(name="job", queue="q", options={"id": "again"})
    hand.finish(1, done)
    assert list(as_completed([handle], timeout=LONG)) == [handle]
    assert manager.enqueue(name="job", queue="q", options={"id": "again"}).created
    hand.finish(1, returned("newer"))
    assert handle.result(timeout=LONG) == "newer"


def test_what_was_seen_is_told_also_when_it_is_kept_no_longer(manager: QueueManager[Any], hand: Hand) -> None:
    handle = manager.enqueue(name="job", queue="q")
    batch = hand.claim()

    def settle_when_waited_for() -> None:
        until(lambda: manager._client.store.read("HEXISTS", "waiters", handle.id))
        hand.settle(batch, done, 1)

    settling = threading.Thread(target=settle_when_waited_for)
    settling.start()
    assert list(as_completed([handle], timeout=LONG)) == [handle]
    settling.join()
    manager._client.reruns += 1  # as if something else had been run again
    until(lambda: manager._client.store.outcomes_of([handle.id]) == [None])
    assert handle.result(timeout=LONG) == f"result of {handle.id}"


class Size(msgspec.Struct):
    width: int


def measure(job: Job[None], ctx: Context[Any]) -> Size:
    return Size(1)


def test_a_producer_that_has_the_task_gets_results_of_its_type(
    server_url: str, namespace: str, manager: QueueManager[Any], hand: Hand
) -> None:
    task = manager.register_job(name="measure", queue="q", handler=measure)
    fits, misfits = task.enqueue(), task.enqueue()
    results = {fits.id: {"width": 5}, misfits.id: {"width": "wide"}}
    hand.finish(2, lambda id: Outcome("completed", "q", "measure", msgspec.Raw(msgspec.msgpack.encode(results[id]))))
    assert fits.result(timeout=LONG) == Size(5)
    with pytest.raises(InvalidPayload, match=rf"the result of job {misfits.id} does not fit .* `\$.width`"):
        misfits.result(timeout=LONG)
    with QueueManager.init(server_url, namespace=namespace) as other:
        assert other.handle(fits.id).result(timeout=LONG) == {"width": 5}
