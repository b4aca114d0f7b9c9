"""Real work of the kind $BENCHMARK_KIND."""

from __future__ import annotations

import os
from typing import Any

from benchmarks.harness import WORKERS
from benchmarks.real.kinds import KINDS
from tempotask import Context, Job, QueueManager

tempotask = QueueManager.init(namespace="real", concurrency=WORKERS)
work = KINDS[os.environ["BENCHMARK_KIND"]].work


@tempotask.task(queue="work")
def real(job: Job[Any], ctx: Context[Any]) -> Any:
    return work(job.data)
