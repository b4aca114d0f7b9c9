"""Taskiq: a list as the broker, no result backend, what was received counts as acknowledged."""

import asyncio
import os

from taskiq_redis import ListQueueBroker

broker = ListQueueBroker(f"unix://{os.environ['BENCHMARK_SOCKET']}", queue_name="bench")


@broker.task(task_name="noop")
async def noop(path: str) -> None:
    pass


def add(paths: list[str]) -> None:
    async def add_all() -> None:
        await broker.startup()
        for first in range(0, len(paths), 1000):
            await asyncio.gather(*(noop.kiq(path) for path in paths[first : first + 1000]))
        await broker.shutdown()

    asyncio.run(add_all())
