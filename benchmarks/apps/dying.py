"""Jobs that say in a ledger which process starts them, and one that kills that process each time."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from tempotask import Context, Job, QueueManager

LEDGER = Path(os.environ["BENCHMARK_FOLDER"]) / "ledger"
tempotask = QueueManager.init(options={"max_jobs_per_status": 10_000})
ledger = os.open(LEDGER, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def enter(job: Job[Any]) -> None:
    """One write a line, so it is whole."""
    os.write(ledger, f"{os.getpid()} {job.id}\n".encode())


@tempotask.task(queue="work", max_crashes=1000)
def nap(job: Job[float], ctx: Context[Any]) -> None:
    """Takes so many seconds, and no processor."""
    enter(job)
    time.sleep(job.data)


@tempotask.task(queue="work", max_crashes=3)
def innocent(job: Job[None], ctx: Context[Any]) -> None:
    enter(job)


@tempotask.task(queue="work", max_crashes=3)
def poison(job: Job[None], ctx: Context[Any]) -> None:
    enter(job)
    os.kill(os.getpid(), signal.SIGKILL)
