"""Handlers that add jobs: at once, or with their own success."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from chores import GATE, App, tell

from tempotask import Context, Job, QueueManager, Retry, TempoTaskError

tempotask = QueueManager.init(ctx=App)


def end(job: Job[Any], how: str) -> str:
    match how:
        case "fails":
            raise ValueError("it fails")
        case "tries again":
            if job.attempt == 1:
                raise Retry(after=0)
        case "dies":
            os._exit(1)
        case "waits":
            os.read(GATE, 1)
        case "returns what can't be sent":
            return object()  # type: ignore[return-value]
    return "done"


@tempotask.task(queue="q")
def parent(job: Job[str], ctx: Context[App]) -> str:
    """Adds a child at once and one with its success, and ends as it is told."""
    now = ctx.enqueue(name="child", queue="c", data=f"at once {job.attempt}")
    later = ctx.enqueue(name="child", queue="c", data=f"on success {job.attempt}", on_success=True)
    tell("added", job.id, now.id, later.id)
    return end(job, job.data)


@tempotask.task(queue="q")
async def aparent(job: Job[str], ctx: Context[App]) -> str:
    """Adds its children from tasks of its own."""

    async def add(number: int) -> list[str]:
        one = await ctx.aenqueue(name="child", queue="c", data=number, on_success=True)
        two = await ctx.apublish(name="child", queues=["c", "d"], data=number, on_success=True)
        return [one.id, *(handle.id for handle in two)]

    ids = await asyncio.gather(*(add(number) for number in range(10)))
    tell("added", job.id, *(id for some in ids for id in some))
    return end(job, job.data)


@tempotask.task(queue="q")
def of_all_kinds(job: Job[Any], ctx: Context[App]) -> list[str]:
    """Children with ids, delays, priorities and large payloads of their own."""
    given = ctx.enqueue(name="child", queue="c", data="given", options={"id": f"{job.data}"}, on_success=True)
    large = ctx.enqueue(name="child", queue="c", data="x" * 100_000, on_success=True)
    urgent = ctx.enqueue(name="child", queue="c", data="urgent", options={"priority": 5}, on_success=True)
    delayed = ctx.enqueue(name="child", queue="c", data="delayed", options={"delay": 600}, on_success=True)
    copies = ctx.publish(name="child", queues=["c", "d"], data="copy", options={"id": f"{job.data}2"}, on_success=True)
    return [given.id, large.id, urgent.id, delayed.id, *(copy.id for copy in copies)]


@tempotask.task(queue="q")
def twice(job: Job[bool], ctx: Context[App]) -> list[bool]:
    """Adds two children of one id, with its success or at once."""
    options = {"id": f"{job.id}.child", "delay": 600}
    return [
        ctx.enqueue(name="child", queue="c", data=n, options=options, on_success=job.data).created for n in range(2)
    ]


@tempotask.task(queue="q")
def many(job: Job[int], ctx: Context[App]) -> int:
    for number in range(job.data):
        ctx.enqueue(name="child", queue="c", data=number, on_success=True)
    return job.data


@tempotask.task(queue="q")
def wrong(job: Job[Any], ctx: Context[App]) -> list[str]:
    """What is refused when it is asked for."""
    refusals = []
    options = ({"atempts": 1}, {"retry_on": OSError})
    for more in ({"queue": "no queue"}, {"data": object()}, *({"options": wrong} for wrong in options)):
        try:
            ctx.enqueue(**{"name": "child", "queue": "c", **more}, on_success=True)  # type: ignore[arg-type]
        except TempoTaskError as error:
            refusals.append(type(error).__name__)
    return refusals


@tempotask.task(queue="c")
def child(job: Job[Any], ctx: Context[App]) -> Any:
    return job.parent


tempotask.register_job(name="child", queue="d", handler=child.handler)
