"""Jobs that are cancelled while they start, run and end; a ledger tells what became of each."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from tempotask import Context, Job, QueueManager

folder = Path(os.environ["BENCHMARK_FOLDER"])
tempotask = QueueManager.init(options={"max_jobs_per_status": 10})
ledger = os.open(folder / "ledger", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


@tempotask.task(queue="work")
def enter(job: Job[float], ctx: Context[Any]) -> None:
    """Works for so many seconds; one write a line, so it is whole."""
    os.write(ledger, f"{job.id} start\n".encode())
    end = time.monotonic() + job.data
    while time.monotonic() < end:
        pass
    os.write(ledger, f"{job.id} {'told' if job.cancelled else 'end'}\n".encode())
