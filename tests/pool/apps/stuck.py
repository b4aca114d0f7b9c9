"""Jobs, and a context, that do not get on."""

from __future__ import annotations

import asyncio
import os
import re
from typing import Any

import numpy
from chores import tell

from tempotask import Context, Job, QueueManager


def context() -> None:
    if "TEST_STUCK" in os.environ:
        tell("starts", os.getpid())
        loop()


tempotask = QueueManager.init(ctx=context)


def loop() -> None:
    while True:
        pass


def regex() -> None:
    """Holds the interpreter, in C."""
    re.match(r"(a+)+$", "a" * 40 + "b")


def matrix() -> None:
    """In a library of its own."""
    square = numpy.random.default_rng(1).random((500, 500))
    while True:
        numpy.linalg.svd(square)


def recursion(depth: int = 50) -> None:
    if depth:
        recursion(depth - 1)
    loop()


@tempotask.task(queue="q", cancel_grace=0)
def stay(job: Job[str], ctx: Context[Any]) -> None:
    tell("runs", job.id, os.getpid())
    globals()[job.data]()


async def wait_for_ever() -> None:
    await asyncio.Event().wait()


@tempotask.task(queue="q", cancel_grace=0)
async def await_(job: Job[int], ctx: Context[Any]) -> None:
    """Waits, and has tasks that wait."""
    tell("runs", job.id, os.getpid())
    tasks = [asyncio.create_task(wait_for_ever(), name=f"helper {number}") for number in range(job.data)]
    await asyncio.gather(wait_for_ever(), *tasks)


@tempotask.task(queue="q", cancel_grace=0)
async def hold(job: Job[str], ctx: Context[Any]) -> None:
    """Holds up its event loop."""
    tell("runs", job.id, os.getpid())
    globals()[job.data]()
