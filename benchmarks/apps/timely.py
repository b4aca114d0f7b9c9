"""Jobs that say when they run."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from tempotask import Context, Job, QueueManager

folder = Path(os.environ["BENCHMARK_FOLDER"])
tempotask = QueueManager.init(options={"max_jobs_per_status": 10_000})
ledger = os.open(folder / "ledger", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def tell(job: Job[Any]) -> None:
    """One write a line, so it is whole."""
    os.write(ledger, f"{job.id} {job.attempt} {time.time():.6f}\n".encode())


@tempotask.task(queue="work")
def now(job: Job[Any], ctx: Context[Any]) -> None:
    tell(job)


@tempotask.task(queue="work", attempts=2, retry_delay=0.3)
def again(job: Job[Any], ctx: Context[Any]) -> None:
    tell(job)
    if job.attempt == 1:
        raise ValueError("once more")


if os.environ.get("BENCHMARK_REPEAT"):

    @tempotask.task(queue="work", repeat=os.environ["BENCHMARK_REPEAT"])
    def tick(job: Job[Any], ctx: Context[Any]) -> None:
        tell(job)
