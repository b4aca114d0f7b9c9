"""Jobs that never end by themselves: each says first, in a file of its own, when it started."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from tempotask import Context, Job, QueueManager

folder = Path(os.environ["BENCHMARK_FOLDER"])
tempotask = QueueManager.init()


def say(id: str) -> None:
    """Tells the benchmark that this job runs, under its final name only when all is written."""
    (folder / f"{id}.new").write_text(repr(time.time()))
    (folder / f"{id}.new").rename(folder / id)


@tempotask.task(queue="work")
def count(job: Job[None], ctx: Context[Any]) -> None:
    """One call of C code that holds the interpreter for longer than anybody waits."""
    say(job.id)
    sum(range(10**14))


@tempotask.task(queue="work")
def now(job: Job[None], ctx: Context[Any]) -> int:
    return time.time_ns()
