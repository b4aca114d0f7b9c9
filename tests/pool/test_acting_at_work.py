"""Acting on jobs while real workers run them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pool.running import LONG, Bench, wait_until

from tempotask import InvalidName, InvalidOptions, JobCancelled, JobFailed, JobHandle, JobNotFound


def test_a_paused_queue_starts_nothing_what_runs_ends_and_resuming_goes_on(bench: Bench) -> None:
    bench.start(workers=2)
    manager = bench.manager
    running = manager.enqueue(name="hold", queue="q")
    bench.hear()
    assert manager.pause_queue("q") is True
    waiting = manager.enqueue_many({"name": "echo", "queue": "q", "data": n} for n in range(100))
    bench.open_gate()
    assert running.result(timeout=LONG) == 1
    (queue,) = manager.get_sorted_jobs()
    assert (queue.paused, queue.stats["waiting"], queue.stats["completed"]) == (True, 100, 1)
    assert manager.resume_queue("q") is True
    assert waiting.results(timeout=LONG) == list(range(100))


def test_what_a_worker_has_claimed_of_a_paused_queue_and_not_started_is_given_back(bench: Bench) -> None:
    bench.start(workers=1)
    manager = bench.manager
    warm = manager.enqueue_many({"name": "echo", "queue": "q", "data": n} for n in range(2000))
    warm.results(timeout=LONG)
    manager.pause_queue("q")
    handles = [manager.enqueue(name="hold", queue="q")]
    handles += manager.enqueue_many({"name": "echo", "queue": "q", "data": n} for n in range(500))
    manager.resume_queue("q")
    bench.hear()
    assert manager.pause_queue("q")
    wait_until(lambda: manager.get_sorted_jobs(0)[0].stats["waiting"] == 500, "its neighbours were not given back")
    bench.open_gate()
    assert handles[0].result(timeout=LONG) == 1
    assert manager.get_sorted_jobs(0)[0].stats["waiting"] == 500
    manager.resume_queue("q")
    assert [handle.result(timeout=LONG) for handle in handles[1:]] == list(range(500))


def test_a_deleted_job_that_runs_is_ended_and_forgotten(bench: Bench) -> None:
    bench.start(workers=1)
    manager = bench.manager
    handle = manager.enqueue(name="hold", queue="q", options={"id": "held", "cancel_grace": 0})
    bench.hear()
    waiter = asyncio.run(_deleted_while_awaited(bench, handle))
    assert isinstance(waiter, JobCancelled)
    assert manager.get_job_by_id("held") is None
    with pytest.raises(JobNotFound):
        handle.status()
    assert manager.enqueue(name="echo", queue="q", data=7).result(timeout=LONG) == 7
    assert manager.delete_job_by_id("held") is False


async def _deleted_while_awaited(bench: Bench, handle: JobHandle[Any]) -> object:
    waiting = asyncio.ensure_future(handle.aresult(LONG))
    while not await bench.manager._client.apart(bench.store.read, "HEXISTS", "waiters", "held"):
        await asyncio.sleep(0.005)
    assert await bench.manager.adelete_job_by_id("held") is True
    return (await asyncio.gather(waiting, return_exceptions=True))[0]


def test_a_failed_job_that_is_tried_again_has_fresh_tries_and_its_handle_follows(bench: Bench) -> None:
    bench.start(workers=1)
    manager = bench.manager
    handle = manager.enqueue(name="flaky", queue="q", data=3, options={"attempts": 2})
    with pytest.raises(JobFailed):
        handle.result(timeout=LONG)
    assert [bench.hear()[1] for _ in range(2)] == ["1", "2"]
    assert [error.attempt for error in handle.info().errors] == [1, 2]
    assert manager.retry_job_by_id(handle.id) is True
    with pytest.raises(JobFailed):
        handle.result(timeout=LONG)
    assert [bench.hear()[1] for _ in range(2)] == ["1", "2"]
    assert manager.retry_jobs(queue="q", name="flaky") == 1
    with pytest.raises(JobFailed):
        handle.result(timeout=LONG)
    assert manager.get_jobs(status="failed")[0].id == handle.id
    assert len(manager.get_jobs(status="failed")) == 1


def test_every_function_has_a_twin_that_is_awaited(bench: Bench) -> None:
    async def act() -> None:
        manager = bench.manager
        await manager.aenqueue(name="echo", queue="q", options={"id": "a"})
        await manager.aenqueue(name="echo", queue="p", options={"id": "b", "delay": 900})
        assert await manager.apause_job_by_id("a") is True
        assert await manager.atoggle_pause_job_by_id("a") is False
        assert await manager.aresume_job_by_id("a") is False
        assert await manager.apause_queue("q") is True
        assert await manager.aresume_queue("q") is True
        assert await manager.aget_queues_list() == ["p", "q"]
        assert await manager.aget_jobs_list() == []
        assert [job.id for job in await manager.aget_jobs(limit=1)] == ["b"]
        assert [queue.stats["total"] for queue in await manager.aget_sorted_jobs()] == [1, 1]
        assert await manager.acancel_job_by_id("a") is True
        assert await manager.acancel_jobs(queue="p") == 1
        assert await manager.aretry_job_by_id("a") is True
        assert await manager.aretry_jobs(status="cancelled") == 1
        assert await manager.adelete_all_jobs_by_queue("p") == 1
        assert await manager.adelete_jobs(name="other") == 0
        assert await manager.adelete_all_jobs_by_status("waiting") == 1
        assert await manager.adelete_all_jobs() == 0
        handle = await manager.aenqueue(name="echo", queue="q")
        assert await handle.acancel() is True

    asyncio.run(act())


def test_what_makes_no_sense_is_refused_before_anything_is_done(bench: Bench) -> None:
    manager = bench.manager
    manager.enqueue(name="echo", queue="q", options={"id": "a"})
    with pytest.raises(InvalidOptions, match="there are waiting, delayed"):
        manager.delete_jobs(queue="q", status="wating")
    with pytest.raises(InvalidOptions, match="would mean every job"):
        manager.delete_jobs()
    with pytest.raises(InvalidOptions, match="would mean every job"):
        manager.cancel_jobs()
    with pytest.raises(InvalidOptions, match="only finished jobs"):
        manager.retry_jobs(status="waiting")
    with pytest.raises(InvalidOptions, match="whole number"):
        manager.get_jobs(limit=0)
    with pytest.raises(InvalidOptions, match="max_jobs_per_status"):
        manager.get_sorted_jobs(-1)
    with pytest.raises(InvalidOptions, match="cursor"):
        manager.get_jobs(cursor="x")
    with pytest.raises(InvalidName, match="queue 'a b'"):
        manager.pause_queue("a b")
    with pytest.raises(InvalidName, match="give the id"):
        manager.cancel_job_by_id("")
    assert [job.status for job in manager.get_jobs()] == ["waiting"]


def test_queues_tell_their_newest_jobs_by_status(bench: Bench) -> None:
    bench.start(workers=1)
    manager = bench.manager
    manager.enqueue_many({"name": "echo", "queue": "q", "data": n} for n in range(20)).results(timeout=LONG)
    manager.enqueue(name="echo", queue="other", data=1, options={"delay": 900})
    other, queue = manager.get_sorted_jobs(max_jobs_per_status=5)
    assert (other.name, other.stats["delayed"], other.stats["total"]) == ("other", 1, 1)
    assert queue.stats["completed"] == queue.stats["total"] == 20
    assert [job.data for job in queue.jobs["completed"]] == [19, 18, 17, 16, 15]
    assert set(queue.jobs) == set(queue.stats) - {"total"}


def test_a_schedule_that_was_enqueued_ends_when_it_is_cancelled_or_deleted(bench: Bench) -> None:
    manager = bench.manager
    first = manager.enqueue(name="echo", queue="q", options={"id": "first", "repeat": "0 3 * * *"})
    manager.enqueue(name="echo", queue="q", options={"id": "second", "repeat": "0 3 * * *"})
    manager.enqueue(name="echo", queue="q", options={"id": "third", "repeat": "0 3 * * *"})
    assert manager.pause_job_by_id("first") is False
    assert first.cancel() is True
    assert first.cancel() is False
    assert manager.get_job_by_id("first") is None
    assert manager.delete_job_by_id("second") is True
    assert manager.get_job_by_id("second") is None
    assert manager.get_job_by_id("third") is not None
    assert manager.delete_all_jobs() == 1
    assert manager.get_job_by_id("third") is None
    assert manager.enqueue(name="echo", queue="q", options={"id": "first"}).created is True
