"""Schedules that are added, as the server keeps them, against a real server."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from store.scheduled import finish_all

from tempotask import Context, InvalidOptions, InvalidPayload, Job, JobNotFound, QueueManager, Repeat, as_completed
from tempotask.store import schedules
from tempotask.store.store import Store

pytestmark = pytest.mark.usefixtures("sound")


def test_a_schedule_lives_until_it_is_cancelled(manager: QueueManager[Any], store: Store) -> None:
    handle = manager.enqueue(name="tick", queue="q", options={"repeat": "*/5 * * * *"})
    assert handle.created
    assert handle.status() == "delayed"
    info = handle.info()
    assert (info.status, info.queue, info.name) == ("delayed", "q", "tick")
    assert schedules.remove(store, handle.id)
    assert not schedules.remove(store, handle.id)
    with pytest.raises(JobNotFound):
        handle.status()


def test_a_schedule_that_is_cancelled_is_waited_for_by_nobody_any_more(
    manager: QueueManager[Any], store: Store
) -> None:
    """Whoever asked for its end, and was killed before he heard that it has none, would stay noted for ever."""
    handle = manager.enqueue(name="tick", queue="q", options={"repeat": "*/5 * * * *"})
    store.ask("client", [handle.id])
    assert handle.cancel()


def test_a_call_that_repeats_what_its_own_task_does_not_take_is_refused(
    manager: QueueManager[Any], store: Store
) -> None:
    def handler(job: Job[int], ctx: Context[Any]) -> None: ...

    task = manager.register_job(name="count", queue="q", handler=handler)
    with pytest.raises(InvalidOptions, match="its jobs come without data, which its handler does not take"):
        manager.enqueue(name="count", queue="q", options={"repeat": "* * * * *"})
    with pytest.raises(InvalidOptions, match="give data and repeat to enqueue"):
        task.enqueue(repeat="* * * * *", id="nodata")
    with pytest.raises(InvalidPayload, match="its handler does not take these data: Expected `int`, got `str`"):
        manager.enqueue(name="count", queue="q", data="text", options={"repeat": "* * * * *"})
    assert list(schedules.every(store)) == []
    assert task.enqueue(5, repeat="* * * * *").created


def test_a_schedule_has_no_result_and_says_so(manager: QueueManager[Any]) -> None:
    handle = manager.enqueue(name="tick", queue="q", options={"id": "s", "repeat": "* * * * *"})
    with pytest.raises(InvalidOptions, match="s is a schedule"):
        handle.result(timeout=60)
    with pytest.raises(InvalidOptions, match="s is a schedule"):
        manager.handle("s").result(timeout=60)
    (finished,) = as_completed([handle], timeout=60)
    with pytest.raises(InvalidOptions, match="s is a schedule"):
        finished.result()


async def _await(manager: QueueManager[Any]) -> None:
    handle = await manager.aenqueue(name="tick", queue="q", options={"id": "s", "repeat": "* * * * *"})
    with pytest.raises(InvalidOptions, match="s is a schedule"):
        await handle


def test_a_schedule_that_is_awaited_says_that_it_has_no_result(manager: QueueManager[Any]) -> None:
    asyncio.run(asyncio.wait_for(_await(manager), 60))


def test_the_id_of_a_schedule_is_taken_and_that_of_a_job_too(manager: QueueManager[Any]) -> None:
    repeated = {"id": "s", "repeat": "* * * * *"}
    assert manager.enqueue(name="tick", queue="q", options=repeated).created
    assert not manager.enqueue(name="tick", queue="q", options=repeated).created
    theirs = manager.enqueue(name="other", queue="another", options=repeated)
    assert (theirs.created, theirs.queue, theirs.name) == (False, "q", "tick")
    assert not manager.enqueue(name="tick", queue="q", options={"id": "s"}).created
    assert manager.enqueue(name="tick", queue="q", options={"id": "j"}).created
    assert not manager.enqueue(name="tick", queue="q", options={"id": "j", "repeat": "* * * * *"}).created


def test_an_earlier_outcome_is_not_taken_for_that_of_the_schedule(manager: QueueManager[Any], store: Store) -> None:
    handle = manager.enqueue(name="tick", queue="q", options={"id": "s"})
    finish_all(store)
    assert handle.result(timeout=60) is None
    again = manager.enqueue(name="tick", queue="q", options={"id": "s", "repeat": "* * * * *"})
    assert again.created
    assert again.status() == "delayed"
    with pytest.raises(InvalidOptions):
        again.result(timeout=60)


def test_repeat_together_with_a_delay_begins_after_it(manager: QueueManager[Any], store: Store) -> None:
    manager.enqueue(name="tick", queue="q", options={"id": "s", "repeat": "* * * * *", "delay": 7200})
    begins = datetime.now(UTC).replace(microsecond=0, second=0) + timedelta(days=1)
    manager.enqueue(name="tick", queue="q", options={"id": "t", "repeat": "* * * * *", "delay_until": begins})
    first, second = schedules.get(store, "s"), schedules.get(store, "t")
    assert first is not None
    assert second is not None
    assert 7_190_000 < first.next - schedules.moment(store) < 7_270_000
    assert second.next == int(begins.timestamp() * 1000)


def test_many_jobs_at_once_can_not_be_repeated_and_the_error_says_so(manager: QueueManager[Any]) -> None:
    with pytest.raises(InvalidOptions, match="job 1: repeat makes a schedule"):
        manager.enqueue_many(
            [{"name": "t", "queue": "q"}, {"name": "t", "queue": "q", "options": {"repeat": "* * * * *"}}]
        )
    with pytest.raises(InvalidOptions, match="repeat makes a schedule"):
        manager.publish(name="t", queues=["q"], options={"repeat": "* * * * *"})
    assert manager.get_queues_list() == []


def test_supervisors_are_told_of_an_earlier_time(manager: QueueManager[Any], store: Store) -> None:
    store.register("s1", 3600, b"{}")
    manager.enqueue(name="tick", queue="q", options={"repeat": Repeat(every=3600)})
    manager.enqueue(name="tick", queue="q", options={"repeat": Repeat(every=86_400)})
    manager.enqueue(name="tick", queue="q", options={"repeat": Repeat(every=0.5)})
    told = [order.split() for order in store.read("LRANGE", "orders:s1", 0, -1)]
    assert {what for what, _ in told} == {b"due"}
    assert 2 <= len(told) <= 3
    assert int(told[-1][1]) <= int(told[0][1])
