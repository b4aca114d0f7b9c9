"""Task.amap: what map promises, in an event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from mapping.app import echo, even, held, tempotask
from mapping.conftest import Gate, Stats, wait_until_nothing_waits

from tempotask import InvalidPayload, JobFailed
from tempotask.inline.manager import InlineManager


async def counted(number: int) -> AsyncIterator[int]:
    for n in range(number):
        if n % 100 == 0:
            await asyncio.sleep(0)
        yield n


SOURCES: dict[str, Callable[[int], Any]] = {
    "a list": lambda number: list(range(number)),
    "a generator": lambda number: (n for n in range(number)),
    "an async generator": counted,
}


@pytest.mark.parametrize("in_flight", [1, 7, None])
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.usefixtures("pool")
def test_every_input_gives_one_result(source: str, in_flight: int | None) -> None:
    async def main() -> None:
        for number in (0, 1, 8, 50 if in_flight == 1 else 2000):
            inputs = SOURCES[source]
            assert sorted([one async for one in echo.amap(inputs(number), in_flight=in_flight)]) == list(range(number))
            ordered = echo.amap(inputs(number), in_flight=in_flight, ordered=True)
            assert [one async for one in ordered] == list(range(number))

    asyncio.run(main())


@pytest.mark.parametrize("in_flight", [1, 3, 100])
@pytest.mark.usefixtures("pool")
def test_no_input_is_read_further_ahead_than_it_may(in_flight: int) -> None:
    read, yielded, furthest = 0, 0, 0

    async def inputs() -> AsyncIterator[int]:
        nonlocal read, furthest
        for number in range(300):
            read += 1
            furthest = max(furthest, read - yielded)
            yield number

    async def main() -> None:
        nonlocal yielded
        async for _ in echo.amap(inputs(), in_flight=in_flight):
            yielded += 1

    asyncio.run(main())
    assert yielded == 300
    assert furthest <= in_flight


@pytest.mark.usefixtures("pool")
def test_a_result_does_not_wait_for_the_next_input() -> None:
    async def main() -> None:
        typed: asyncio.Queue[int | None] = asyncio.Queue()

        async def inputs() -> AsyncIterator[int]:
            while (number := await typed.get()) is not None:
                yield number

        results = echo.amap(inputs())
        for number in range(20):
            typed.put_nowait(number)
            assert await anext(results) == number
        typed.put_nowait(None)
        assert [one async for one in results] == []

    asyncio.run(main())


@pytest.mark.usefixtures("pool")
def test_the_loop_goes_on_while_results_are_awaited(gate: Gate) -> None:
    async def main() -> None:
        results = held.amap([gate.path])
        first = asyncio.ensure_future(anext(results))
        # Would stand still, and the gate be shut, if the map held the loop.
        for _ in range(20):
            await asyncio.sleep(0.001)
        gate.open()
        assert await first == gate.path

    asyncio.run(main())


def test_what_has_not_started_is_cancelled_when_the_generator_is_closed(gate: Gate, stats: Stats) -> None:
    async def main() -> None:
        async with contextlib.aclosing(held.amap(["", *[gate.path] * 1000])) as results:
            assert await anext(results) == ""
        assert not stats("held")["waiting"]

    asyncio.run(main())
    wait_until_nothing_waits(stats, "held")


def test_what_has_not_started_is_cancelled_when_the_task_is(gate: Gate, stats: Stats) -> None:
    reading = 0

    async def inputs() -> AsyncIterator[str]:
        nonlocal reading
        reading = 1
        try:
            for _ in range(100):
                yield gate.path
            await asyncio.Event().wait()
        finally:
            reading = 2

    async def main() -> None:
        mapping = asyncio.ensure_future(anext(held.amap(inputs())))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(mapping, 0.5)
        assert reading == 2
        assert not stats("held")["waiting"]

    asyncio.run(main())
    wait_until_nothing_waits(stats, "held")


@pytest.mark.usefixtures("pool")
def test_errors_are_raised_or_yielded() -> None:
    async def main() -> None:
        results = even.amap([0, 2, 3, *range(4, 500)], ordered=True)
        assert [await anext(results), await anext(results)] == [0, 2]
        with pytest.raises(JobFailed, match="3 is odd"):
            await anext(results)
        told = [one async for one in even.amap(range(100), on_error="yield", ordered=True)]
        assert [isinstance(one, JobFailed) for one in told] == [False, True] * 50
        with pytest.raises(InvalidPayload, match="input 1: data is of type object"):
            [one async for one in echo.amap([1, object()])]

    asyncio.run(main())


@pytest.mark.usefixtures("pool")
def test_what_reading_the_inputs_raises_is_raised(stats: Stats) -> None:
    async def inputs() -> AsyncIterator[int]:
        yield 1
        raise OSError("no more tape")

    async def main() -> None:
        with pytest.raises(OSError, match="no more tape"):
            [one async for one in echo.amap(inputs())]

    asyncio.run(main())
    wait_until_nothing_waits(stats, "q")


@pytest.mark.usefixtures("pool")
def test_many_maps_share_a_loop() -> None:
    async def one(first: int) -> list[int]:
        return [n async for n in echo.amap(range(first, first + 200), ordered=True, in_flight=20)]

    async def main() -> None:
        found = await asyncio.gather(*(one(first) for first in range(0, 6000, 200)))
        assert found == [list(range(first, first + 200)) for first in range(0, 6000, 200)]

    asyncio.run(main())


def test_an_inline_manager_maps_too() -> None:
    from mapping.app import half, inline

    assert isinstance(inline, InlineManager)

    async def main() -> None:
        assert sorted([one async for one in half.amap(counted(1))]) == [0]
        assert [one async for one in half.amap(range(0, 100, 2), ordered=True)] == list(range(50))

    asyncio.run(main())
    assert tempotask is not inline
    inline.close()


@pytest.mark.usefixtures("pool")
def test_inputs_that_end_with_a_cancellation_end_the_map_with_it() -> None:
    """And not as if there were no more."""

    async def cut() -> AsyncIterator[int]:
        for n in range(3):
            yield n
        gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        gone.cancel()
        await gone

    async def main() -> None:
        with pytest.raises(asyncio.CancelledError):
            [one async for one in echo.amap(cut())]

    asyncio.run(main())
