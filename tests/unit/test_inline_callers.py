"""`init(inline=True)`: jobs run in the caller, be it plain code, an event loop or one of many threads."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from unit.inlined import App, anote, logged, note, register

from tempotask import Context, Job, QueueManager


async def later(tempotask: QueueManager[App], name: str, data: Any) -> Any:
    return await (await tempotask.aenqueue(name=name, queue="q", data=data))


def test_async_handlers_run_from_plain_code(tempotask: QueueManager[App], seen: list[Any]) -> None:
    task = register(tempotask, "anote", anote)
    assert [task.enqueue(n).result() for n in range(3)] == seen == [0, 1, 2]


@pytest.mark.parametrize("handler", [note, anote, logged(anote)])
def test_jobs_run_from_a_running_loop(tempotask: QueueManager[App], handler: Any) -> None:
    task = register(tempotask, "n", handler)

    async def main() -> None:
        assert task.enqueue(1).result() == 1
        assert await task.enqueue(2) == 2
        assert await (await task.aenqueue(3)) == 3
        assert await (await tempotask.aenqueue_many([{"name": "n", "queue": "q", "data": 4}])).aresults() == [4]
        assert await task.enqueue(5).wait() == "completed"
        assert await asyncio.gather(*(later(tempotask, "n", n) for n in range(50))) == list(range(50))

    asyncio.run(main())


def test_an_async_handler_may_await_the_jobs_it_adds(tempotask: QueueManager[App]) -> None:
    register(tempotask, "anote", anote)

    async def parent(job: Job[int], ctx: Context[App]) -> int:
        if not job.data:
            return 0
        child = await ctx.aenqueue(name="parent", queue="q", data=job.data - 1)
        assert await child.astatus() == "waiting"
        return job.data + await child

    task = register(tempotask, "parent", parent)
    assert task.enqueue(5).result() == 15

    async def main() -> list[Any]:
        return await asyncio.gather(*(later(tempotask, "parent", 5) for _ in range(20)))

    assert asyncio.run(main()) == [15] * 20


def test_threads_run_their_own_jobs(tempotask: QueueManager[App]) -> None:
    register(tempotask, "where", lambda job, ctx: threading.get_ident())
    wrong = []

    def produce() -> None:
        for _ in range(50):
            if tempotask.enqueue(name="where", queue="q").result() != threading.get_ident():
                wrong.append(threading.get_ident())

    threads = [threading.Thread(target=produce) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_who_waits_for_a_job_of_another_thread_is_told(tempotask: QueueManager[App]) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def hold(job: Job[Any], ctx: Context[App]) -> str:
        entered.set()
        go_on.wait(60)
        return "done"

    task = register(tempotask, "hold", hold)
    thread = threading.Thread(target=task.enqueue, kwargs={"id": "x"})
    thread.start()
    assert entered.wait(60)
    handle = tempotask.handle("x")
    assert handle.status() == "processing"
    with pytest.raises(TimeoutError):
        handle.result(timeout=0.01)
    assert task.enqueue(id="x").created is False
    go_on.set()
    assert handle.result(timeout=60) == "done"
    thread.join()
