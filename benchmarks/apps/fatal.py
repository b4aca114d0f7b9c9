"""Jobs that are to be killed: each stays for ever the first time it runs, and returns the second time."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Any

from tempotask import Context, Job, QueueManager

folder = Path(os.environ["BENCHMARK_FOLDER"])
tempotask = QueueManager.init()


def first_time(id: str) -> bool:
    """Whether nobody else has said that job started; says so, with the process that runs it."""
    try:
        with (folder / f"{id}.new").open("x") as file:
            file.write(str(os.getpid()))
    except FileExistsError:
        return False
    # Under its final name only when it is written.
    os.link(folder / f"{id}.new", folder / id)
    return True


@tempotask.task(queue="work")
def stay(job: Job[None], ctx: Context[Any]) -> int:
    """Returns when it was started for the second time, in nanoseconds."""
    started = time.time_ns()
    if first_time(job.id):
        while True:
            pass
    return started


@tempotask.task(queue="work")
def backtrack(job: Job[None], ctx: Context[Any]) -> None:
    """Holds the interpreter for longer than anybody waits, in a regular expression."""
    first_time(job.id)
    re.match(r"(a+)+$", "a" * 60 + "b")
