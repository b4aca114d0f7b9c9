"""How long a caller waits for outcomes: as long as it said, and no longer."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from store.by_hand import LONG, Hand, done

from tempotask import InvalidOptions, JobHandles, JobNotFound, QueueManager, as_completed


def test_the_callers_own_timeout_leaves_the_job_alone(manager: QueueManager[Any], hand: Hand) -> None:
    handle = manager.enqueue(name="job", queue="q")
    with pytest.raises(TimeoutError, match="it goes on"):
        handle.result(timeout=0.05)
    hand.settle(hand.claim(), done)
    assert handle.result(timeout=LONG) == f"result of {handle.id}"


@pytest.mark.parametrize("timeout", ["x", True, float("nan")])
def test_a_time_to_wait_that_is_none_is_refused_in_one_line(manager: QueueManager[Any], timeout: Any) -> None:
    handles = manager.enqueue_many([{"name": "job", "queue": "q"}])
    waits: list[Callable[[], object]] = [
        lambda: handles[0].result(timeout=timeout),
        lambda: handles.results(timeout=timeout),
        lambda: asyncio.run(handles[0].aresult(timeout=timeout)),
        lambda: asyncio.run(handles[0].wait(timeout=timeout)),
        lambda: list(as_completed(handles, timeout=timeout)),
    ]
    for wait in waits:
        with pytest.raises(InvalidOptions, match=f"^timeout={timeout!r}: give seconds, or None"):
            wait()


def test_who_does_not_wait_is_told_what_is_there(manager: QueueManager[Any], hand: Hand) -> None:
    handle = manager.enqueue(name="job", queue="q")
    with pytest.raises(TimeoutError):
        handle.result(timeout=0)
    hand.finish(1, done)
    assert handle.result(timeout=0) == f"result of {handle.id}"


def test_who_does_not_wait_in_an_event_loop_is_told_what_is_there_too(manager: QueueManager[Any], hand: Hand) -> None:
    async def look() -> None:
        handles = await manager.aenqueue_many({"name": "job", "queue": "q"} for _ in range(2))
        for waiting in (handles[0].aresult(timeout=0), handles[0].wait(timeout=0), handles.aresults(timeout=0)):
            with pytest.raises(TimeoutError):
                await waiting
        with pytest.raises(TimeoutError):
            assert [handle async for handle in as_completed(handles, timeout=0)] == []
        with pytest.raises(JobNotFound):
            await manager.handle("unknown").aresult(timeout=0)
        hand.finish(2, done)
        assert await manager.handle(handles[0].id).aresult(timeout=0) == f"result of {handles[0].id}"
        assert await handles[0].wait(timeout=0) == "completed"
        assert {handle.id async for handle in as_completed(handles, timeout=0)} == {handle.id for handle in handles}

    asyncio.run(look())


def test_the_time_of_the_caller_counts_also_while_the_server_is_away(start_server: Callable[..., Any]) -> None:
    server = start_server()
    with QueueManager.init(server.url, options={"connect_timeout": LONG}) as manager:
        handle = manager.enqueue(name="job", queue="q")
        server.process.send_signal(signal.SIGSTOP)
        try:
            began = time.monotonic()
            for wait in (handle.result, JobHandles([handle]).results, manager.handle(handle.id).result):
                with pytest.raises(TimeoutError):
                    wait(timeout=0.1)
            with pytest.raises(TimeoutError):
                list(as_completed([handle], timeout=0.1))
            with pytest.raises(TimeoutError, match="has not finished within"):
                asyncio.run(handle.aresult(timeout=0.1))
            assert time.monotonic() - began < LONG / 2
        finally:
            server.process.send_signal(signal.SIGCONT)
