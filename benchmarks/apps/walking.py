"""Jobs of so many steps, which note how much of a processor they take."""

from __future__ import annotations

from typing import Any

from benchmarks.apps.burning import walk
from benchmarks.tally import tally
from tempotask import Context, Job, QueueManager

tempotask = QueueManager.init()


def tallied_walk(steps: int) -> None:
    """What both sides do for a job."""
    tally().do(walk, steps)


@tempotask.task(queue="work")
def steps(job: Job[int], ctx: Context[Any]) -> None:
    tallied_walk(job.data)
