"""What jobs take of a processor, by the clock of their own thread, in whatever processes they run.

A process that lies in memory worse than another, or an hour in which the processor is slower, makes jobs take more by
that clock as it makes them last longer: by it, one side's time says how much was added to its jobs.
"""

from __future__ import annotations

import functools
import mmap
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Tally:
    """Nanoseconds that the jobs of this process took of a processor, in a file that others read meanwhile.

    Each job of `every` is timed and counts for all of them: to read that clock twice takes two hundredths of the time
    of the shortest jobs.
    """

    def __init__(self, folder: Path, every: int) -> None:
        with (folder / f"{os.getpid()}.tally").open("w+b") as file:
            file.truncate(8)
            self._nanoseconds = memoryview(mmap.mmap(file.fileno(), 8)).cast("q")
        self._every = every
        self._jobs = 0

    def do(self, work: Callable[[Any], Any], job: Any) -> Any:
        """The result of `work(job)`."""
        self._jobs += 1
        if self._jobs % self._every:
            return work(job)
        began = time.thread_time_ns()
        result = work(job)
        self._nanoseconds[0] += (time.thread_time_ns() - began) * self._every
        return result


@functools.cache
def tally() -> Tally:
    """This process's, made at its first job: in $BENCHMARK_FOLDER, one job of $BENCHMARK_EVERY is timed (each)."""
    return Tally(Path(os.environ["BENCHMARK_FOLDER"]), int(os.environ.get("BENCHMARK_EVERY", "1")))


def tallied(folder: Path) -> float:
    """Seconds that the jobs of all processes took by now."""
    return sum(int.from_bytes(file.read_bytes(), sys.byteorder) for file in folder.glob("*.tally")) / 1e9
