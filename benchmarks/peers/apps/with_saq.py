"""SAQ: jobs are coroutines, of which each of the workers runs many at a time."""

import asyncio
import os

from redis.asyncio import Redis
from saq.queue.redis import RedisQueue

queue = RedisQueue(Redis.from_url(f"unix://{os.environ['BENCHMARK_SOCKET']}"), name="bench")


async def noop(context: dict, *, path: str) -> None:
    pass


settings = {"queue": queue, "functions": [noop], "concurrency": 100}


def add(paths: list[str]) -> None:
    async def add_all() -> None:
        await queue.connect()
        for first in range(0, len(paths), 1000):
            await asyncio.gather(*(queue.enqueue("noop", path=path, ttl=-1) for path in paths[first : first + 1000]))
        await queue.disconnect()

    asyncio.run(add_all())
