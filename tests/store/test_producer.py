"""Adding jobs, against a real server."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec
import pytest
from servers import OwnServer

from tempotask import (
    Context,
    InvalidName,
    InvalidOptions,
    InvalidPayload,
    Job,
    JobNotFound,
    QueueManager,
    ServerUnavailable,
    TempoTaskError,
)
from tempotask.client import THREADS
from tempotask.store.store import SINCE_BOOT


class Thumb(msgspec.Struct):
    path: str


def thumb(job: Job[Thumb], ctx: Context[Any]) -> str:
    return job.data.path


def test_a_job_waits_as_it_was_given(manager: QueueManager[Any]) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    handle = manager.enqueue(name="t", queue="q", data=Thumb("a.png"), options={"priority": -5, "attempts": 3})
    info = handle.info()
    assert (handle.queue, handle.name, handle.created) == ("q", "t", True)
    assert (info.id, info.name, info.queue, info.status) == (handle.id, "t", "q", "waiting")
    assert (info.priority, info.tries, info.data, info.parent) == (-5, 0, {"path": "a.png"}, None)
    assert info.enqueued_at is not None
    assert before < info.enqueued_at < datetime.now(UTC) + timedelta(seconds=1)
    assert manager.get_job_by_id(handle.id) == info
    assert manager.get_job_by_id("stranger") is None


def test_automatic_ids_grow_with_time(manager: QueueManager[Any]) -> None:
    ids = []
    for _ in range(20):
        ids.append(manager.enqueue(name="t", queue="q").id)
        time.sleep(0.002)
    assert ids == sorted(ids)
    assert len(set(ids)) == 20


def test_an_id_of_an_unfinished_job_adds_nothing(manager: QueueManager[Any]) -> None:
    first = manager.enqueue(name="t", queue="q", data=1, options={"id": "a.png"})
    second = manager.enqueue(name="t", queue="q", data=2, options={"id": "a.png"})
    assert (first.created, second.created, second.id) == (True, False, "a.png")
    assert second.info().data == 1


def test_a_handle_to_a_job_that_was_there_says_whose_that_is(manager: QueueManager[Any]) -> None:
    manager.enqueue(name="t", queue="q", options={"id": "a"})
    again = manager.enqueue(name="other", queue="elsewhere", options={"id": "a"})
    assert (again.created, again.name, again.queue) == (False, "t", "q")


class Queue(str, Enum):  # noqa: UP042 - a StrEnum is written as its value everywhere
    IMAGES = "images"


def test_a_member_of_an_enum_names_the_queue_of_its_value(manager: QueueManager[Any]) -> None:
    manager.enqueue(name="t", queue=Queue.IMAGES, options={"id": "one"})
    (copy,) = manager.publish(name="t", queues=[Queue.IMAGES], options={"id": "x"})
    (handle,) = manager.enqueue_many([{"name": "t", "queue": Queue.IMAGES, "data": 1}])
    assert (copy.id, handle.queue) == ("x:images", "images")
    assert len(manager.get_jobs(queue="images")) == len(manager.get_jobs(queue=Queue.IMAGES)) == 3


class Row(Mapping[str, Any]):
    """A mapping that makes its values when it is asked for them."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __getitem__(self, key: str) -> Any:
        return {"name": "t", "queue": "q", "data": None, "options": {"id": f"row{self._number}"}}[key]

    def __iter__(self) -> Iterator[str]:
        return iter(("name", "queue", "data", "options"))

    def __len__(self) -> int:
        return 4


def test_options_may_be_made_for_each_of_many_jobs_when_they_are_asked_for(manager: QueueManager[Any]) -> None:
    handles = manager.enqueue_many(Row(number) for number in range(50))
    assert [handle.id for handle in handles] == [f"row{number}" for number in range(50)]
    assert len(manager.get_jobs(limit=100)) == 50


def test_copies_of_a_task_that_has_an_id_have_one_each(manager: QueueManager[Any]) -> None:
    for queue in ("a", "b"):
        manager.register_job(name="t", queue=queue, handler=thumb, options={"id": "nightly"})
    handles = manager.publish(name="t", queues=["a", "b"], data=Thumb("a.png"))
    assert [(handle.id, handle.queue, handle.created) for handle in handles] == [
        ("nightly:a", "a", True),
        ("nightly:b", "b", True),
    ]


def test_a_producers_own_registration_says_what_the_call_does_not(manager: QueueManager[Any]) -> None:
    task = manager.register_job(name="t", queue="q", handler=thumb, options={"priority": 7, "delay": 60, "attempts": 3})
    assert task.enqueue(Thumb("a")).info().priority == 7
    assert task.enqueue(Thumb("a")).status() == "delayed"
    now = task.enqueue(Thumb("a"), priority=0, delay=0)
    assert (now.info().priority, now.status()) == (0, "waiting")


def test_delayed_jobs_wait_until_they_are_due(manager: QueueManager[Any]) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    assert manager.enqueue(name="t", queue="q", options={"delay_until": later}).status() == "delayed"
    assert manager.enqueue(name="t", queue="q", options={"delay": timedelta(minutes=5)}).status() == "delayed"
    past = manager.enqueue(name="t", queue="q", options={"delay_until": later - timedelta(hours=2)})
    assert past.status() == "waiting"


def test_large_payloads_arrive_whole(manager: QueueManager[Any]) -> None:
    data = {"text": "x" * 100_000}
    assert manager.enqueue(name="t", queue="q", data=data).info().data == data


def test_publish_puts_a_copy_in_each_queue(manager: QueueManager[Any]) -> None:
    handles = manager.publish(name="t", queues=["a", "b"], data=1, options={"id": "x", "priority": 3})
    assert [handle.id for handle in handles] == ["x:a", "x:b"]
    assert [handle.info().queue for handle in handles] == ["a", "b"]
    assert [handle.info().priority for handle in handles] == [3, 3]
    assert manager.get_queues_list() == ["a", "b"]


@pytest.mark.parametrize(
    ("queues", "says"),
    [
        ([], "no queues"),
        (None, "give a list of queues"),
        (["a", "b", "a"], "'a' is there twice"),
        ("images", "is one str"),
        ([str(n) for n in range(1001)], "at most 1,000"),
    ],
)
def test_publish_refuses_queues_that_make_no_sense(manager: QueueManager[Any], queues: Any, says: str) -> None:
    with pytest.raises(InvalidOptions, match=says):
        manager.publish(name="t", queues=queues)


def test_one_bad_queue_keeps_all_copies_out(manager: QueueManager[Any]) -> None:
    with pytest.raises(InvalidName):
        manager.publish(name="t", queues=["a", "b c"])
    assert manager.get_queues_list() == []


@pytest.mark.parametrize("wrong", [["q"], {"q": 1}, None, 5])
def test_what_is_no_name_at_all_is_refused_as_one(manager: QueueManager[Any], wrong: Any) -> None:
    for given in ({"queue": wrong}, {"name": wrong}):
        with pytest.raises(InvalidName):
            manager.enqueue(**{"name": "t", "queue": "q"} | given)


def test_many_jobs_are_added_in_order_and_belong_together(manager: QueueManager[Any]) -> None:
    handles = manager.enqueue_many({"name": "t", "queue": "q", "data": n} for n in range(2500))
    assert len({handle.id for handle in handles}) == 2500
    assert [handles[n].info().data for n in (0, 999, 1000, 2499)] == [0, 999, 1000, 2499]
    assert manager.enqueue_many([]).results(timeout=0) == []


GOOD = {"name": "t", "queue": "q"}


@pytest.mark.parametrize(
    ("bad", "error", "says"),
    [
        ({"name": "t"}, InvalidOptions, "job 1500 has no 'queue'"),
        ({**GOOD, "date": 1}, InvalidOptions, "job 1500: there is no key 'date'; did you mean 'data'?"),
        ({**GOOD, "data": {"x": object()}}, InvalidPayload, "job 1500: data['x'] is of type object"),
        ({**GOOD, "data": b"x" * 3000}, InvalidPayload, "job 1500: data is 3,003 bytes, and at most 2,000"),
        ({**GOOD, "options": {"atempts": 1}}, InvalidOptions, "job 1500: there is no option 'atempts'"),
        ({"name": "t", "queue": "a b"}, InvalidName, "job 1500: queue 'a b'"),
        ({"name": "t", "queue": ["q"]}, InvalidName, "job 1500: queue ['q']"),
        (5, InvalidOptions, "job 1500 is a int"),
    ],
)
def test_the_error_of_many_names_the_job_and_has_the_handles_that_are_in(
    server_url: str, namespace: str, bad: Any, error: type[TempoTaskError], says: str
) -> None:
    with QueueManager.init(server_url, namespace=namespace, options={"max_payload_bytes": 2000}) as manager:
        jobs = [{**GOOD, "data": n} for n in range(2000)]
        jobs[1500] = bad
        with pytest.raises(error) as refused:
            manager.enqueue_many(jobs)
        assert says in str(refused.value)
        assert [handle.info().data for handle in refused.value.handles[998:]] == [998, 999]
        assert manager._client.store.read("LLEN", "queue:0:q") == 1000


def test_one_job_is_not_several(manager: QueueManager[Any]) -> None:
    with pytest.raises(InvalidOptions, match="enqueue adds a single one"):
        manager.enqueue_many(GOOD)  # type: ignore[arg-type]


def test_data_that_can_not_be_sent_is_refused_before_anything_is_sent(manager: QueueManager[Any]) -> None:
    for call in (
        lambda: manager.enqueue(name="t", queue="q", data=object()),
        lambda: manager.publish(name="t", queues=["q"], data=object()),
        lambda: manager.enqueue_many([{"name": "t", "queue": "q"}, {"name": "t", "queue": "q", "data": object()}]),
    ):
        with pytest.raises(InvalidPayload):
            call()
    assert manager.get_queues_list() == []


def test_a_server_that_is_away_is_waited_for_only_so_long() -> None:
    with QueueManager.init("redis://localhost:1/0", options={"connect_timeout": 0.3}) as manager:
        began = time.monotonic()
        with pytest.raises(ServerUnavailable) as away:
            manager.enqueue_many([{"name": "t", "queue": "q"}])
        assert 0.2 < time.monotonic() - began < 30
        assert not away.value.handles


def test_a_context_adds_children_of_the_job_that_runs(manager: QueueManager[Any]) -> None:
    context = manager.context()
    context._job = Job("parent", "t", "q", None)
    assert context.enqueue(name="t", queue="q").info().parent == "parent"
    assert [handle.info().parent for handle in context.publish(name="t", queues=["a", "b"])] == ["parent"] * 2


def test_every_way_to_add_can_be_awaited(manager: QueueManager[Any]) -> None:
    task = manager.register_job(name="t", queue="q", handler=thumb)

    async def add() -> list[str]:
        one = await manager.aenqueue(name="t", queue="q")
        two = await task.aenqueue(Thumb("a"), priority=3)
        many = await manager.aenqueue_many([{"name": "t", "queue": "q"}])
        published = await manager.apublish(name="t", queues=["a"])
        context = manager.context()
        child = await context.aenqueue(name="t", queue="q")
        children = await context.apublish(name="t", queues=["a"])
        every = [one, two, *many, *published, child, *children]
        assert (await one.ainfo()).id == one.id
        return [await handle.astatus() for handle in every]

    assert asyncio.run(add()) == ["waiting"] * 6


def test_a_forked_process_goes_on_with_ids_of_its_own(manager: QueueManager[Any]) -> None:
    manager.enqueue(name="t", queue="q")
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            manager.enqueue_many({"name": "t", "queue": "forked"} for _ in range(10))
            os.write(write_end, b"done")
        finally:
            os._exit(0)
    os.close(write_end)
    for _ in range(100):
        manager.enqueue(name="t", queue="q")
    assert os.read(read_end, 10) == b"done"
    os.close(read_end)
    os.waitpid(child, 0)
    assert manager._client.store.read("LLEN", "queue:0:q") == 101
    assert manager._client.store.read("LLEN", "queue:0:forked") == 10


def test_a_manager_can_be_used_again_after_it_was_closed(manager: QueueManager[Any]) -> None:
    handle = manager.enqueue(name="t", queue="q")
    manager.close()
    assert handle.status() == "waiting"
    with pytest.raises(JobNotFound):
        manager.handle("stranger").info()


def test_a_delay_counts_by_the_servers_clock_though_that_was_set_meanwhile(manager: QueueManager[Any]) -> None:
    store, delayed = manager._client.store, {"delay": 30}
    ways: list[Callable[[], Any]] = [
        lambda: manager.enqueue(name="t", queue="q", options=delayed),
        lambda: manager.publish(name="t", queues=["q"], options=delayed),
        lambda: manager.enqueue_many([{"name": "t", "queue": "q", "options": delayed}]),
    ]
    for step in (-3600.0, 3600.0):
        for add in ways:
            # What this process knew of it an hour ago.
            store._offset, store._asked = store.clock() / 1e6 - time.clock_gettime(SINCE_BOOT) - step, 0.0
            add()
    times = [float(moment) / 1000 for moment in store.read("ZRANGE", "due", 0, -1, "WITHSCORES")[1::2]]
    assert len(times) == 6
    assert all(abs(moment - 30 - store.clock() / 1e6) < 20 for moment in times)


def test_delayed_jobs_that_a_server_which_is_gone_can_not_take_are_not_blamed(short_path: Path) -> None:
    server = OwnServer(short_path)
    with QueueManager.init(server.url, options={"connect_timeout": 0.2}) as manager:
        manager.enqueue(name="t", queue="q")

        def jobs() -> Iterator[dict[str, Any]]:
            for n in range(1001):
                if n == 1000:
                    server.kill()
                    manager._client.store._asked = 0.0
                yield {"name": "t", "queue": "q", "data": n, "options": {"delay": 5}}

        with pytest.raises(ServerUnavailable):
            manager.enqueue_many(jobs())


def test_many_calls_that_are_awaited_while_the_server_is_away_end_together(short_path: Path) -> None:
    """Though few threads make them."""
    server = OwnServer(short_path)
    with QueueManager.init(server.url, options={"connect_timeout": 2.0}) as manager:
        manager.enqueue(name="t", queue="q")
        server.kill()

        async def main() -> list[Any]:
            calls = (manager.aenqueue(name="t", queue="q") for _ in range(60 * THREADS))
            # In rounds they would take twice as long.
            return await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 60)

        errors = asyncio.run(main())
        assert all(isinstance(error, ServerUnavailable) for error in errors)
