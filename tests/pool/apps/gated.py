"""A parent that waits at the gate after it has asked for a child."""

from __future__ import annotations

import os
from typing import Any

from chores import GATE, App, tell

from tempotask import Context, Job, QueueManager

tempotask = QueueManager.init(ctx=App)


@tempotask.task(queue="q")
def parent(job: Job[Any], ctx: Context[App]) -> str:
    later = ctx.enqueue(name="child", queue="q", on_success=True)
    tell("added", job.id, later.id, os.getpid())
    os.read(GATE, 1)
    return "done"


@tempotask.task(queue="q")
def child(job: Job[Any], ctx: Context[App]) -> str | None:
    return job.parent
