"""The application for lost replies: the chores, jobs that talk while they run, and one that a schedule adds."""

from __future__ import annotations

import time

from tempotask import Context, Job
from torture.chore import KEEP, Chore, end, start
from torture.chores import tempotask

LINES = 6


@tempotask.task(queue="a", keep_result=KEEP)
def chat(job: Job[Chore], ctx: Context[None]) -> str:
    """Says something all the time, for longer than the worker keeps it to itself."""
    start(job)
    for number in range(LINES):
        job.logger(f"line {number}")
        job.progress(number, LINES)
        time.sleep(job.data.seconds / LINES)
    return end(job)


@tempotask.task(queue="b", keep_result=KEEP)
def tick(job: Job[None], ctx: Context[None]) -> str:
    start(job)
    return end(job)


__all__ = ["tempotask"]
