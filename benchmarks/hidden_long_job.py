"""Does one long job hidden among thousands of short ones hold anything up?

The best schedule hands each job, in order, to the worker that is free first. It is measured too, as two bare processes
that each burn what such a worker would: what the machine does besides slows both.
"""

from __future__ import annotations

import functools
import multiprocessing
import multiprocessing.synchronize
import time

from benchmarks.apps.burning import burn
from benchmarks.harness import WORKERS, Bench, in_turns
from benchmarks.rows import Row, ratio

SHORT = 0.001


def ours(bench: Bench, number: int, seconds: float, place: int) -> float:
    """Seconds from the first claim until all is settled."""
    work = [SHORT] * number
    work.insert(place, seconds)
    with bench.project("busy") as project:
        project.producer.enqueue_many({"name": "spin", "queue": "work", "data": each} for each in work)
        return project.drain()


def best(number: int, seconds: float, place: int) -> float:
    """Seconds in which two processes get through the same work, divided beforehand as it can't be divided better."""
    loads = [place * SHORT / WORKERS] * WORKERS
    loads[0] += seconds
    # What comes after the long job fills up the other worker, and then both.
    after = (number - place) * SHORT
    gap = min(after, loads[0] - loads[1])
    loads = [loads[0] + (after - gap) / WORKERS, loads[1] + gap + (after - gap) / WORKERS]
    context = multiprocessing.get_context("fork")
    start = context.Barrier(WORKERS + 1)
    processes = [context.Process(target=_burn, args=(start, load), daemon=True) for load in loads]
    for process in processes:
        process.start()
    start.wait()
    began = time.monotonic()
    for process in processes:
        process.join()
    return time.monotonic() - began


def _burn(start: multiprocessing.synchronize.Barrier, seconds: float) -> None:
    start.wait()
    burn(seconds)


def measure(bench: Bench) -> list[Row]:
    number, seconds = bench.size(4000, 1000), float(bench.size(2, 1))
    rows = []
    places = {"first": 0, "in the middle": number // 2, "near the end": number - number // 40}
    for where, place in places.items():
        mine, others = in_turns(
            functools.partial(ours, bench, number, seconds, place),
            functools.partial(best, number, seconds, place),
            *(bench.rounds, "s"),
        )
        what = f"a {seconds:.0f} s job among {number:,} of 1 ms, {where}: wall / best"
        rows.append(ratio(what, mine, others, 1.05, 1.02, more_is_better=False))
    return rows
