"""One manager in event loops: many coroutines, one loop after the other, loops in several threads."""

from __future__ import annotations

import asyncio
import threading

import pytest
from door.app import echo, left, tempotask
from door.conftest import Run

from tempotask import as_completed

pytestmark = pytest.mark.usefixtures("environment")


async def work(name: object, count: int = 20) -> None:
    handles = [await echo.aenqueue([name, n]) for n in range(count)]
    assert await asyncio.gather(*handles) == [[name, n] for n in range(count)]


async def many(name: object) -> None:
    await asyncio.gather(*(work(f"{name}/{n}", 5) for n in range(100)))
    handles = await tempotask.aenqueue_many([{"name": "echo", "queue": "q", "data": n} for n in range(100)])
    assert await handles.aresults(timeout=60) == list(range(100))
    assert sorted([await handle async for handle in as_completed(handles, timeout=60)]) == list(range(100))


def test_many_coroutines_at_once_each_get_their_own() -> None:
    asyncio.run(many("one"))


def test_one_loop_after_the_other_uses_it() -> None:
    for n in range(5):
        asyncio.run(work(n))
        asyncio.run(work(n), debug=True)


def test_loops_in_several_threads_use_it_at_once() -> None:
    wrong: list[BaseException] = []

    def loop(name: int) -> None:
        try:
            asyncio.run(many(name))
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=loop, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_handle_made_in_one_loop_is_awaited_in_another() -> None:
    handles = asyncio.run(tempotask.aenqueue_many([{"name": "echo", "queue": "q", "data": n} for n in range(10)]))

    async def collect() -> list[object]:
        return [await handle for handle in handles]

    assert asyncio.run(collect()) == asyncio.run(collect()) == list(range(10))


def test_a_loop_that_ends_while_it_waits_harms_no_other() -> None:
    handle = left.enqueue()

    async def give_up() -> None:
        waiting = [asyncio.ensure_future(handle.aresult()) for _ in range(5)]
        await asyncio.sleep(0)
        await work("meanwhile", 2)
        assert not any(task.done() for task in waiting)

    asyncio.run(give_up())
    asyncio.run(work("after"))


def test_a_cancelled_wait_leaves_nothing_behind() -> None:
    handle = left.enqueue()

    async def main() -> None:
        for _ in range(50):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.001):
                    await handle
        await work("after")

    asyncio.run(main())
    assert not tempotask._client.outcomes._waiting


def test_a_blocking_call_in_a_coroutine_works_too() -> None:
    async def main() -> None:
        assert echo.enqueue(1).result(timeout=60) == 1

    asyncio.run(main())


def test_closing_in_the_middle_harms_no_enqueue() -> None:
    async def main() -> None:
        adding = [asyncio.ensure_future(left.aenqueue(n)) for n in range(200)]
        for _ in range(20):
            await tempotask.aclose()
            await asyncio.sleep(0)
        handles = await asyncio.gather(*adding)
        assert len({handle.id for handle in handles}) == 200

    asyncio.run(main())
    assert tempotask._client.store.read("ZCARD", "due") == 200


def test_a_forked_child_has_a_loop_of_its_own(run: Run) -> None:
    program = """
import asyncio, os
from door.test_asyncio import work
asyncio.run(work("before"))
child = os.fork()
asyncio.run(work(child))
if not child:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""
    assert run(program) == []
