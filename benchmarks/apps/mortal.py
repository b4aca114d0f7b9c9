"""Workers that are replaced often: killed at work, ended by their jobs, or recycled after $BENCHMARK_JOBS jobs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tempotask import Context, Job, QueueManager

folder = Path(os.environ["BENCHMARK_FOLDER"])
most = os.environ.get("BENCHMARK_JOBS")
tempotask = QueueManager.init(
    options={
        # What is kept is kept up to a number. These are small, so that they are reached before anything is measured.
        "max_jobs_per_status": 10,
        "max_results": int(os.environ.get("BENCHMARK_RESULTS", "1000")),
        **({"max_jobs_per_worker": int(most)} if most else {}),
    }
)


@tempotask.task(queue="work")
def noop(job: Job[Any], ctx: Context[Any]) -> Any:
    return job.data


@tempotask.task(queue="work")
def stay(job: Job[None], ctx: Context[Any]) -> None:
    """The first time it runs: stays until it is killed, by whoever reads the process in the job's file."""
    mark = folder / job.id
    if mark.exists():
        return
    new = folder / f"{job.id}.new"
    new.write_text(str(os.getpid()))
    # Under its final name only when it is written.
    new.rename(mark)
    while True:
        pass


@tempotask.task(queue="work", max_crashes=1)
def leave(job: Job[None], ctx: Context[Any]) -> None:
    os._exit(4)
