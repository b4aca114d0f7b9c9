"""The application under torture. Each of its jobs writes to the ledger when it starts and when it has finished."""

from __future__ import annotations

import asyncio
import os
import time

from tempotask import Context, Job, QueueManager
from torture import nasty
from torture.chore import KEEP, MAX_CRASHES, Chore, end, start, written

QUEUES = ("a", "b", "c")
"""Where the chores are."""
CHILDREN = "children"
"""Where their children are."""


class NotYet(Exception):
    """What a try raises that is to fail."""


tempotask = QueueManager.init()


def finish(job: Job[Chore], ctx: Context[None]) -> str:
    """What becomes of a chore: an error, or one child and a result."""
    if job.attempt <= job.data.fails:
        raise NotYet(f"attempt {job.attempt}")
    ctx.enqueue(name="child", queue=CHILDREN, on_success=True)
    return end(job)


def short(job: Job[Chore], ctx: Context[None]) -> str:
    with written(job):
        if job.data.seconds:
            time.sleep(job.data.seconds)
        return finish(job, ctx)


def busy(job: Job[Chore], ctx: Context[None]) -> str:
    """Uses its time, instead of sleeping."""
    with written(job):
        until = time.monotonic() + job.data.seconds
        while time.monotonic() < until:
            pass
        return finish(job, ctx)


async def ashort(job: Job[Chore], ctx: Context[None]) -> str:
    with written(job):
        await asyncio.sleep(job.data.seconds)
        return finish(job, ctx)


def poison(job: Job[Chore], ctx: Context[None]) -> str:
    """Kills its process each time."""
    start(job)
    os._exit(7)


@tempotask.task(queue=CHILDREN, keep_result=KEEP)
def child(job: Job[None], ctx: Context[None]) -> str:
    with written(job):
        return end(job)


for queue in QUEUES:
    for handler in (short, busy, ashort, poison):
        tempotask.register_job(
            name=handler.__name__,
            queue=queue,
            handler=handler,
            options={"attempts": 3, "keep_result": KEEP, "max_crashes": MAX_CRASHES},
        )

nasty.register(tempotask)
