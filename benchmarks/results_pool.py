"""How fast are results there for who wants each as its job ends, against `ProcessPoolExecutor.map` at one job a call?

The executor is handed its jobs while it works, so handing out is part of its time. Ours are on the server beforehand;
the time is that from the first claim until the last result is in hand, in the order of the jobs, as `map` gives them.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor

from benchmarks import results
from benchmarks.harness import WORKERS, Bench, Failed, in_turns
from benchmarks.rows import Row, ratio
from tempotask import JobHandle, as_completed


def as_they_come(handles: Sequence[JobHandle[int]]) -> list[int]:
    """Each result is taken when its job ends; all of them, in the order of the handles."""
    found = {handle.id: handle.result() for handle in as_completed(handles, timeout=600)}
    return [found[handle.id] for handle in handles]


def same(number: int) -> int:
    return number


def executor(count: int) -> float:
    """Jobs a second of two processes that the standard library keeps."""
    with ProcessPoolExecutor(WORKERS, multiprocessing.get_context("fork")) as workers:
        return mapped(workers, count)


def mapped(workers: Executor, count: int) -> float:
    """Calls a second of an executor, once it has started."""
    list(workers.map(same, range(WORKERS)))
    began = time.monotonic()
    found = list(workers.map(same, range(count), chunksize=1))
    seconds = time.monotonic() - began
    if found != list(range(count)):
        raise Failed("the executor's results are wrong")
    return count / seconds


def measure(bench: Bench) -> list[Row]:
    count, few = bench.size(100_000, 20_000), bench.size(20_000, 4_000)
    mine, others = in_turns(
        lambda: results.ours(bench, count, as_they_come), lambda: executor(few), bench.rounds, "jobs/s"
    )
    what = "drain, each result read by as_completed, against ProcessPoolExecutor.map(chunksize=1)"
    return [ratio(what, mine, others, 5, 15)]
