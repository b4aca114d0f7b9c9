"""Jobs that do nothing, with everything declared that most jobs never need."""

from __future__ import annotations

import os
from typing import Any

from benchmarks.apps.noop import Image
from tempotask import Context, Job, QueueManager

tempotask = QueueManager.init()


def noop(job: Job[Image], ctx: Context[Any]) -> None:
    if not job.data.path:
        job.progress(1, 1, "nothing to do")


for number in range(int(os.environ.get("BENCHMARK_QUEUES", "3"))):
    tempotask.register_job(
        name="noop",
        queue=f"q{number}",
        handler=noop,
        options={"attempts": 3, "retry_delay": 1, "backoff": "exponential", "timeout": 30},
    )
