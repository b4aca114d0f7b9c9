"""Jobs that do nothing, over $BENCHMARK_QUEUES queues."""

from __future__ import annotations

import os
from typing import Any

import msgspec

from tempotask import Context, Job, QueueManager


class Image(msgspec.Struct):
    path: str


history = os.environ.get("BENCHMARK_HISTORY")
tempotask = QueueManager.init(options={"max_jobs_per_status": int(history)} if history else None)


def noop(job: Job[Image], ctx: Context[Any]) -> None:
    pass


def echo(job: Job[int], ctx: Context[Any]) -> int:
    return job.data


for number in range(int(os.environ.get("BENCHMARK_QUEUES", "3"))):
    tempotask.register_job(name="noop", queue=f"q{number}", handler=noop)
    tempotask.register_job(name="echo", queue=f"q{number}", handler=echo)
