"""What coroutines leave behind, and a loop that somebody else has closed: no other job sees it."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from pool.stage import Stage

from tempotask import Context, Job


async def begun(closed: list[str]) -> AsyncIterator[int]:
    try:
        yield 1
        yield 2
    finally:
        await asyncio.sleep(0)
        closed.append("closed")


@pytest.mark.parametrize("way", ["let go of", "held", "raised"])
def test_a_generator_that_is_left_half_way_is_closed_with_its_job(stage: Stage, way: str) -> None:
    closed: list[str] = []
    held = begun(closed)

    async def handler(job: Job[Any], ctx: Context[Any]) -> int:
        async for number in held if way == "held" else begun(closed):
            if way == "raised":
                raise LookupError
            return number
        return 0

    stage.register(handler)
    (run,) = stage.run(["coroutine"])
    assert run.status == ("failed" if way == "raised" else "completed")
    assert closed == ["closed"]


def test_a_generator_is_closed_in_the_context_of_its_job(stage: Stage) -> None:
    var: contextvars.ContextVar[int] = contextvars.ContextVar("var")
    closed: list[int] = []
    kept: list[AsyncIterator[int]] = []

    async def rows() -> AsyncIterator[int]:
        token = var.set(1)
        try:
            yield 1
        finally:
            closed.append(var.get())
            var.reset(token)

    async def handler(job: Job[Any], ctx: Context[Any]) -> int:
        kept.append(generator := rows())
        return await anext(generator)

    stage.register(handler)
    assert [run.status for run in stage.run(["coroutine"])] == ["completed"]
    assert closed == [1]


def test_what_is_begun_as_tasks_are_cancelled_does_not_hold_up_the_worker(stage: Stage) -> None:
    async def endless() -> None:
        await asyncio.Event().wait()

    async def first() -> None:
        try:
            await endless()
        finally:
            stage.left = asyncio.create_task(endless())

    async def handler(job: Job[Any], ctx: Context[Any]) -> None:
        stage.left = asyncio.create_task(first())
        await asyncio.sleep(0)

    stage.register(handler)
    assert [run.status for run in stage.run(["coroutine"] * 2)] == ["completed"] * 2


def test_what_happens_as_the_rest_is_ended_changes_nothing_of_a_job_nor_of_the_next(stage: Stage) -> None:
    kept: list[Any] = []

    async def rows() -> AsyncIterator[int]:
        other = asyncio.create_task(asyncio.sleep(600))
        try:
            yield 1
        finally:
            other.cancel()
            await other

    async def leaves(how: str) -> None:
        me = asyncio.current_task()
        assert me is not None

        async def left() -> None:
            try:
                await asyncio.sleep(600)
            finally:
                if how == "exits":
                    raise SystemExit(3)
                if how == "stops":
                    asyncio.get_running_loop().stop()
                me.cancel()

        kept.append(asyncio.create_task(left()))
        await asyncio.sleep(0)

    async def handler(job: Job[Any], ctx: Context[Any]) -> str:
        how = ["generator", "exits", "", "stops", "cancels", "", "next", "stops at once", ""][job.token - 100]
        if how == "generator":
            kept.append(generator := rows())
            await anext(generator)
        elif how == "next":
            kept.append(asyncio.ensure_future(rows().__anext__()))
        elif how == "stops at once":
            asyncio.get_running_loop().stop()
        elif how:
            await leaves(how)
        else:
            await asyncio.sleep(0.01)
        return "done"

    stage.register(handler)
    runs = stage.run(["coroutine"] * 9)
    assert [(run.status, msgspec.msgpack.decode(run.result)) for run in runs] == [("completed", "done")] * 9


def test_a_loop_that_a_plain_handler_has_closed_is_no_matter_of_the_next_jobs(stage: Stage) -> None:
    async def handler(job: Job[Any], ctx: Context[Any]) -> int:
        await asyncio.sleep(0)
        return 1

    def legacy(job: Job[Any], ctx: Context[Any]) -> None:
        asyncio.get_event_loop().close()

    stage.register(handler)
    stage.handler = legacy
    runs = stage.run(["coroutine", "plain", "coroutine", "coroutine", "plain", "coroutine"])
    assert [run.status for run in runs] == ["completed"] * 6
