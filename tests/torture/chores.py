"""The application under torture. Each of its jobs writes to the ledger when it starts and when it has finished."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import time
from collections.abc import Iterator
from typing import Any

import msgspec

from tempotask import Context, Job, QueueManager
from torture.ledger import Pen

QUEUES = ("a", "b", "c")
"""Where the chores are."""
CHILDREN = "children"
"""Where their children are."""
KEEP = 300
"""Seconds that outcomes are kept: longer than it takes until they are judged."""
MAX_CRASHES = 3


class Chore(msgspec.Struct):
    """What a job is owed under, and how long it takes."""

    mark: str
    seconds: float = 0.0
    fails: int = 0
    """So many tries raise an error."""


class NotYet(Exception):
    """What a try raises that is to fail."""


tempotask = QueueManager.init()
pen = Pen()


def write(what: str, job: Job[Any]) -> str:
    """Writes it down, and returns the mark of this run."""
    of = job.data.mark if isinstance(job.data, Chore) else job.parent or "-"
    pen.write(what, job.id, job.token, job.attempt, job.name, of)
    return f"{job.id}/{job.token}/{os.getpid()}"


def start(job: Job[Any]) -> str:
    return write("start", job)


def end(job: Job[Any]) -> str:
    """The last thing that a handler does: `return end(job)`."""
    return write("end", job)


@contextlib.contextmanager
def written(job: Job[Any]) -> Iterator[None]:
    """A run of a job: writes its start, and its end if it is an error. `end` writes the other kind."""
    start(job)
    try:
        yield
    except BaseException:
        write("raise", job)
        raise


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

if importlib.util.find_spec("torture.nasty"):
    from torture import nasty

    if hasattr(nasty, "register"):
        nasty.register(tempotask)
