"""Jobs of so many steps."""

from __future__ import annotations

from typing import Any

from benchmarks.apps.burning import walk
from tempotask import Context, Job, QueueManager

tempotask = QueueManager.init()


@tempotask.task(queue="work")
def steps(job: Job[int], ctx: Context[Any]) -> None:
    walk(job.data)
