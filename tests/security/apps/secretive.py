"""Handlers that fail with all that could give a password away at hand."""

from __future__ import annotations

import os
from typing import Any

from tempotask import Context, Job, QueueManager

tempotask = QueueManager.init(os.environ.get("TEST_URL"), ctx=dict)


@tempotask.task(queue="q")
def shows_all(job: Job[Any], ctx: Context[Any]) -> None:
    manager, url = tempotask, os.environ.get("TEST_URL")
    print(manager, ctx, job)
    raise RuntimeError(f"{manager!r} {ctx!r} {job!r} {manager.tasks!r} {manager.options!r} {url and type(url)}")


@tempotask.task(queue="q")
def quotes_its_url(job: Job[str], ctx: Context[Any]) -> None:
    raise ConnectionError(f"there is nobody at {job.data}")


@tempotask.task(queue="q")
def works(job: Job[Any], ctx: Context[Any]) -> str:
    job.logger("it works")
    ctx.enqueue(name="ends", queue="q")
    return "done"


@tempotask.task(queue="q")
def ends(job: Job[Any], ctx: Context[Any]) -> None:
    pass


@tempotask.task(queue="q", timeout=0.2)
def takes_long(job: Job[Any], ctx: Context[Any]) -> None:
    while True:
        pass
