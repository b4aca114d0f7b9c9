"""Real work of the kind $BENCHMARK_KIND."""

from __future__ import annotations

from typing import Any

from benchmarks.harness import WORKERS
from benchmarks.real.timed import work
from tempotask import Context, Job, QueueManager

tempotask = QueueManager.init(namespace="real", concurrency=WORKERS)


@tempotask.task(queue="work")
def real(job: Job[Any], ctx: Context[Any]) -> Any:
    return work(job.data)
