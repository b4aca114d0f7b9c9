"""Jobs that keep a core busy, and that say when they start."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from benchmarks.apps.burning import burn
from tempotask import Context, Job, QueueManager

folder = Path(os.environ["BENCHMARK_FOLDER"])
tempotask = QueueManager.init(options={"max_jobs_per_status": 10_000})
starts = os.open(folder / "starts", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
ledger = os.open(folder / "ledger", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


@tempotask.task(queue="work")
def spin(job: Job[float], ctx: Context[Any]) -> None:
    burn(job.data)


def note(job: Job[float], ctx: Context[Any]) -> None:
    """Leaves its queue's letter in the order of starts."""
    os.write(starts, job.queue.encode())
    if job.data:
        burn(job.data)


for queue in "abc":
    tempotask.register_job(name="note", queue=queue, handler=note)


@tempotask.task(queue="work", max_crashes=1000)
def entry(job: Job[float], ctx: Context[Any]) -> None:
    """Keeps a ledger in which no code of the queue's has a hand: who starts what. One write a line, so it is whole."""
    os.write(ledger, f"{os.getpid()} {job.id}\n".encode())
    burn(job.data)


@tempotask.task(queue="work")
def now(job: Job[None], ctx: Context[Any]) -> int:
    return time.time_ns()
