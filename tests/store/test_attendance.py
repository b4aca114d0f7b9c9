"""Who waits for a job where nobody works learns why nothing comes."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from store.by_hand import until

from tempotask import QueueManager, ServerUnavailable
from tempotask.store.attendance import Attendance
from tempotask.store.store import Store

WORD = "no supervisor works in namespace"


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level("WARNING", "tempotask"):
        yield caplog


def test_a_wait_for_a_job_that_nobody_runs_says_so_once(
    manager: QueueManager[Any], told: pytest.LogCaptureFixture
) -> None:
    handle = manager.enqueue(name="job", queue="q")

    def wait() -> None:
        with contextlib.suppress(ServerUnavailable):
            handle.result()

    thread = threading.Thread(target=wait)
    thread.start()
    until(lambda: WORD in told.text)
    manager._client.attendance._next = 0.0
    manager._client.attendance.look(manager._client.store)
    manager.close()
    thread.join()
    (record,) = told.records
    assert record.getMessage() == (
        f"{WORD} {manager.namespace!r} of {manager._client.server.label}, and jobs are waited for; start one there: "
        "tempotask-supervisor app:tempotask"
    )


def test_who_waits_again_and_again_for_a_short_while_is_told_too(
    manager: QueueManager[Any], told: pytest.LogCaptureFixture
) -> None:
    handle = manager.enqueue(name="job", queue="q")

    def wait() -> bool:
        with pytest.raises(TimeoutError):
            handle.result(0.2)
        return WORD in told.text

    until(wait)


def test_join_says_that_nobody_works(manager: QueueManager[Any], told: pytest.LogCaptureFixture) -> None:
    manager.enqueue(name="job", queue="q")

    async def join() -> None:
        joining = asyncio.create_task(manager.join())
        await asyncio.to_thread(until, lambda: WORD in told.text)
        joining.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await joining

    asyncio.run(join())


def looked(store: Store) -> Attendance:
    """Somebody has waited for long, and it was looked who works."""
    attendance = Attendance()
    look_again(attendance, store)
    return attendance


def look_again(attendance: Attendance, store: Store) -> None:
    attendance._next = 0.0
    attendance.look(store)


def test_where_a_supervisor_works_nothing_is_said(store: Store, told: pytest.LogCaptureFixture) -> None:
    store.register("s", 60.0, b"registration")
    looked(store)
    assert told.text == ""


def test_a_supervisor_whose_lease_ran_out_does_not_count(store: Store, told: pytest.LogCaptureFixture) -> None:
    store.register("s", 0.001, b"registration")
    until(lambda: float(store.read("HGET", "leases", "s")) / 1000 < store.now())
    looked(store)
    assert WORD in told.text


def test_a_swept_supervisor_does_not_count(store: Store, told: pytest.LogCaptureFixture) -> None:
    store.register("lost", 0.001, b"registration", ["worker"])
    store.register("s", 0.1, b"registration")
    until(lambda: store.sweep("s", 0.1, "lost", store.read("HGET", "leases", "lost").decode()) is not None)
    assert store.read("HGET", "leases", "lost") == b"swept"
    until(lambda: float(store.read("HGET", "leases", "s")) / 1000 < store.now())
    looked(store)
    assert WORD in told.text


def test_it_is_said_again_when_the_last_supervisor_has_left(store: Store, told: pytest.LogCaptureFixture) -> None:
    attendance = looked(store)
    store.register("s", 60.0, b"registration")
    look_again(attendance, store)
    store.leave("s")
    look_again(attendance, store)
    assert told.text.count(WORD) == 2


def test_it_is_not_looked_before_nothing_was_heard_for_a_while(store: Store, told: pytest.LogCaptureFixture) -> None:
    attendance = Attendance()
    attendance.look(store)
    attendance.waits()
    attendance.look(store)
    attendance.heard()
    attendance.look(store)
    assert told.text == ""
