"""What a handler does to the loop that it runs in."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from tempotask import Job
from torture.nasty.handler import LONG, nasty


@nasty
async def stops_the_loop(job: Job[Any]) -> None:
    asyncio.get_running_loop().stop()
    await asyncio.sleep(LONG)


@nasty
async def closes_the_loop(job: Job[Any]) -> None:
    loop = asyncio.get_running_loop()
    loop._selector.close()  # type: ignore[attr-defined]
    await asyncio.sleep(LONG)


@nasty
async def cancels_itself(job: Job[Any]) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(LONG)


@nasty
async def swallows_its_cancellation(job: Job[Any]) -> None:
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(LONG)
