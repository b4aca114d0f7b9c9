"""Subscriptions on a real server, with events that the scripts make."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import redis
from play import enqueue, hire, results_of, turn, woken
from pool.running import wait_until

from tempotask import Event, InvalidName, InvalidOptions, QueueManager, Subscription
from tempotask.events import READ_FOR, RENEW
from tempotask.store import events
from tempotask.store.check import check
from tempotask.store.store import Store

LONG = 60.0
Heard = queue.SimpleQueue[Event]


def eventually(what: Callable[[], object]) -> None:
    end = time.monotonic() + LONG
    while not what():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_one_who_only_produces_is_told_what_is_added(manager: QueueManager[Any]) -> None:
    heard = Heard()
    with manager.on("waiting", heard.put) as subscription:
        assert isinstance(subscription, Subscription)
        handle = manager.enqueue(name="n", queue="q", data=1, options={"priority": 3})
        event = heard.get(timeout=LONG)
        assert (event.event, event.id, event.queue, event.name) == ("waiting", handle.id, "q", "n")
        assert event.priority == 3
        info = handle.info()
        assert info.enqueued_at is not None
        assert abs((event.at - info.enqueued_at).total_seconds()) < 60
        many = manager.enqueue_many({"name": "n", "queue": "q"} for _ in range(2500))
        assert [heard.get(timeout=LONG).id for _ in many] == [job.id for job in many]


def test_subscribed_is_who_has_returned_from_on_and_nobody_else(manager: QueueManager[Any], store: Store) -> None:
    first, second = Heard(), Heard()
    manager.enqueue(name="before", queue="q")
    assert not store.read("EXISTS", "events")
    with manager.on("waiting", first.put):
        manager.enqueue(name="between", queue="q")
        subscription = manager.on("waiting", second.put)
        manager.enqueue(name="after", queue="q")
        assert [first.get(timeout=LONG).name for _ in range(2)] == ["between", "after"]
        assert second.get(timeout=LONG).name == "after"
        subscription.close()
        subscription.close()
        manager.enqueue(name="closed", queue="q")
        assert first.get(timeout=LONG).name == "closed"
        assert second.empty()
    manager.enqueue(name="over", queue="q")
    assert first.empty()


def test_nobody_listening_leaves_nothing_behind(manager: QueueManager[Any], store: Store) -> None:
    before = {thread.name for thread in threading.enumerate()}
    subscriptions = [manager.on(kind, Heard().put) for kind in events.KINDS]
    manager.enqueue(name="n", queue="q")
    assert store.read("PTTL", "listeners") > 0
    assert store.read("PTTL", "events") > 0
    for subscription in subscriptions:
        subscription.close()
    assert not store.read("EXISTS", "listeners")
    assert not store.read("EXISTS", "events")
    eventually(lambda: {thread.name for thread in threading.enumerate()} <= before)
    assert not store.read("EXISTS", "listeners")
    assert not check(store)


def test_only_the_queue_and_the_task_that_were_named_are_told(manager: QueueManager[Any]) -> None:
    by_queue, by_name, all_of_them = Heard(), Heard(), Heard()
    manager.on("waiting", by_queue.put, queue="a")
    manager.on("waiting", by_name.put, name="n")
    manager.on("waiting", all_of_them.put)
    for queue_name, name in (("a", "m"), ("b", "n"), ("b", "m")):
        manager.enqueue(name=name, queue=queue_name)
    assert [(e.queue, e.name) for e in (all_of_them.get(timeout=LONG) for _ in range(3))][-1] == ("b", "m")
    assert (by_queue.get(timeout=LONG).queue, by_queue.empty()) == ("a", True)
    assert (by_name.get(timeout=LONG).name, by_name.empty()) == ("n", True)


def test_what_a_callback_raises_is_logged_and_ends_nothing(
    manager: QueueManager[Any], caplog: pytest.LogCaptureFixture
) -> None:
    heard = Heard()

    def fail(event: Event) -> None:
        raise SystemExit(event.name)

    with caplog.at_level(logging.ERROR, "tempotask"), manager.on("waiting", fail), manager.on("waiting", heard.put):
        for name in ("one", "two"):
            manager.enqueue(name=name, queue="q")
        assert [heard.get(timeout=LONG).name for _ in range(2)] == ["one", "two"]
    assert [record.name for record in caplog.records] == ["tempotask", "tempotask"]
    assert "fail" in caplog.text
    assert "SystemExit: two" in caplog.text


def test_coroutines_are_awaited_one_after_the_other_in_one_thread(manager: QueueManager[Any]) -> None:
    told: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()

    async def hear(event: Event) -> None:
        told.put((f"begin {event.name}", threading.current_thread().name))
        await asyncio.sleep(0.001)
        told.put((f"end {event.name}", threading.current_thread().name))

    with manager.on("waiting", hear):
        for name in ("one", "two"):
            manager.enqueue(name=name, queue="q")
        heard = [told.get(timeout=LONG) for _ in range(4)]
    assert [what for what, _ in heard] == ["begin one", "end one", "begin two", "end two"]
    assert {thread for _, thread in heard} == {"tempotask events"}


def test_a_callback_may_close_its_manager(manager: QueueManager[Any]) -> None:
    took: queue.SimpleQueue[float] = queue.SimpleQueue()

    async def close(event: Event) -> None:
        began = time.monotonic()
        await manager.aclose()
        took.put(time.monotonic() - began)

    manager.on("waiting", close)
    manager.enqueue(name="t", queue="q")
    assert took.get(timeout=LONG) < READ_FOR


def test_a_callback_may_use_the_manager_and_end_its_own_subscription(manager: QueueManager[Any]) -> None:
    heard = Heard()
    subscriptions: list[Subscription] = []

    def once(event: Event) -> None:
        subscriptions[0].close()
        manager.enqueue(name="again", queue="q")
        heard.put(event)

    subscriptions.append(manager.on("waiting", once))
    manager.enqueue(name="first", queue="q")
    assert heard.get(timeout=LONG).name == "first"
    other = Heard()
    with manager.on("waiting", other.put):
        manager.enqueue(name="second", queue="q")
        eventually(lambda: other.get(timeout=LONG).name == "second")
    assert heard.empty()


def test_what_makes_no_sense_is_refused_with_what_does(manager: QueueManager[Any]) -> None:
    with pytest.raises(InvalidOptions, match="there is no event 'complete'; did you mean 'completed'"):
        manager.on("complete", print)
    with pytest.raises(InvalidOptions, match="there is no event 'x'; there are waiting, started, progress"):
        manager.on("x", print)
    with pytest.raises(InvalidOptions, match="give a function that takes an Event"):
        manager.on("failed", "print")  # type: ignore[arg-type]
    for callback in (lambda: 1, lambda one, two: 1):
        with pytest.raises(InvalidOptions, match="it must take one argument, an Event"):
            manager.on("failed", callback)  # type: ignore[arg-type]
    with pytest.raises(InvalidOptions, match="workers belong to no queue"):
        manager.on("worker", print, queue="q")
    with pytest.raises(InvalidName, match="queue 'a b'"):
        manager.on("failed", print, queue="a b")


def test_a_listener_that_is_cut_off_gets_what_it_missed(
    manager: QueueManager[Any], store: Store, admin_url: str
) -> None:
    heard = Heard()
    with redis.Redis.from_url(admin_url) as client, manager.on("waiting", heard.put):

        def cut_off() -> int:
            """How many connections were: one that is gone by now is not."""
            listening = [connection["id"] for connection in client.client_list() if connection["cmd"] == "xread"]
            return sum(client.client_kill_filter(_id=id) for id in listening)

        eventually(cut_off)
        for round in range(20):
            enqueue(store, f"job-{round}")
            cut_off()
        assert [heard.get(timeout=LONG).id for _ in range(20)] == [f"job-{round}" for round in range(20)]


def test_who_is_gone_without_a_word_is_forgotten(store: Store) -> None:
    store.run("listen", "gone", 1)
    eventually(lambda: not store.read("EXISTS", "listeners"))
    store.run("listen", "gone", 1)
    store.run("listen", "here", 60_000)
    eventually(lambda: store.run("listen", "here", 60_000)[1] == b"1" and store.read("ZCARD", "listeners") == 1)


def test_events_go_on_after_a_server_has_lost_everything(start_server: Callable[..., Any]) -> None:
    server = start_server()
    heard = Heard()
    with QueueManager.init(server.url, namespace="n") as manager, manager.on("waiting", heard.put):
        manager.enqueue(name="before", queue="q")
        assert heard.get(timeout=LONG).name == "before"
        server.kill()
        server.start()
        eventually(lambda: manager._client.store.read("EXISTS", "listeners"))
        manager.enqueue(name="after", queue="q")
        assert heard.get(timeout=LONG).name == "after"


def test_results_are_asked_to_bring_their_events_when_somebody_listens(store: Store) -> None:
    hire(store, "w")
    enqueue(store, "a")
    batch = turn(store, "w", 1).batch
    assert batch is not None
    assert not batch.listened
    store.run("listen", "me", 60_000)
    assert turn(store, "w", 2, results=results_of(batch)).kind == "listened"
    assert turn(store, "w", 3, results=results_of(batch), told=True).kind == "idle"
    enqueue(store, "b")
    handed = woken(store, "w", 3)
    assert handed is not None
    assert handed.listened


def test_events_go_on_soon_after_a_server_was_emptied_under_its_listeners(start_server: Callable[..., Any]) -> None:
    server = start_server()
    heard = Heard()
    with QueueManager.init(server.url, namespace="n") as manager, manager.on("waiting", heard.put):
        with redis.Redis.from_url(server.url) as client:
            client.flushall()
        store = manager._client.store
        wait_until(lambda: store.read("EXISTS", "listeners"), "they are not known again", within=RENEW + LONG / 4)
        manager.enqueue(name="after", queue="q")
        assert heard.get(timeout=LONG).name == "after"
