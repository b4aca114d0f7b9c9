"""Jobs that fail because of what they are given."""

from __future__ import annotations

from datetime import date
from typing import Any

import msgspec

from tempotask import Context, Job, QueueManager

tempotask = QueueManager.init()


class Row(msgspec.Struct):
    day: date
    cells: list[float]
    text: str = ""


@tempotask.task(queue="q", attempts=2)
def summarise(job: Job[Row], ctx: Context[Any]) -> str:
    job.logger(f"try {job.attempt} of {job.data.day:%d %B}")
    job.progress(1, 2)
    ctx.enqueue(name="note", queue="p")
    raise ValueError(f"{len(job.data.text)} characters, {sum(job.data.cells) / len(job.data.cells)}")


@tempotask.task(queue="q")
async def asummarise(job: Job[Row], ctx: Context[Any]) -> str:
    await ctx.aenqueue(name="note", queue="p")
    return str(summarise.handler(job, ctx))
