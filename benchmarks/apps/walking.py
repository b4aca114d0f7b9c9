"""Jobs of so many steps, which note how much of a processor they take."""

from __future__ import annotations

import functools
import mmap
import os
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.apps.burning import walk
from tempotask import Context, Job, QueueManager

tempotask = QueueManager.init()


class Tally:
    """What the jobs of this process took of a processor, in a file that is there when the process has ended.

    Each job of `every` is timed, by the clock of its thread, and counts for all of them: to read that clock twice takes
    two hundredths of the time of the shortest jobs.
    """

    def __init__(self, folder: Path, every: int) -> None:
        with (folder / f"{os.getpid()}.tally").open("w+b") as file:
            file.truncate(8)
            self._nanoseconds = memoryview(mmap.mmap(file.fileno(), 8)).cast("q")
        self._every = every
        self._jobs = 0

    def walk(self, steps: int) -> None:
        self._jobs += 1
        if self._jobs % self._every:
            walk(steps)
            return
        began = time.thread_time_ns()
        walk(steps)
        self._nanoseconds[0] += (time.thread_time_ns() - began) * self._every


def tallied(folder: Path) -> float:
    """Seconds that the jobs of all processes took; their files are let go."""
    files = list(folder.glob("*.tally"))
    seconds = sum(int.from_bytes(file.read_bytes(), sys.byteorder) for file in files) / 1e9
    for file in files:
        file.unlink()
    return seconds


@functools.cache
def tally() -> Tally:
    """This process's, made at its first job."""
    return Tally(Path(os.environ["BENCHMARK_FOLDER"]), int(os.environ["BENCHMARK_EVERY"]))


def tallied_walk(steps: int) -> None:
    """What both sides do for a job."""
    tally().walk(steps)


@tempotask.task(queue="work")
def steps(job: Job[int], ctx: Context[Any]) -> None:
    tallied_walk(job.data)
