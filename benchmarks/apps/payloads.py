"""Jobs with large payloads."""

from __future__ import annotations

from typing import Any

from tempotask import Context, Job, QueueManager

tempotask = QueueManager.init()


@tempotask.task(queue="work")
def length(job: Job[bytes], ctx: Context[Any]) -> int:
    return len(job.data)
