"""Does one long job hidden among thousands of short ones hold anything up?

The best schedule is both cores busy until the end. It is measured too, as two bare processes that each burn half of the
work: what the machine does besides slows both.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable

from benchmarks.apps.busy import burn
from benchmarks.harness import WORKERS, Bench, Row, Spread, in_turns

SHORT = 0.001


def ours(bench: Bench, number: int, seconds: float, place: int) -> float:
    """Seconds from the first claim until all is settled."""
    work = [SHORT] * number
    work.insert(place, seconds)
    with bench.project("busy") as project:
        project.producer.enqueue_many({"name": "spin", "queue": "work", "data": each} for each in work)
        return project.drain()


def best(number: int, seconds: float) -> float:
    """Seconds in which two processes get through the same work, divided evenly beforehand."""
    half = (number * SHORT + seconds) / WORKERS
    context = multiprocessing.get_context("fork")
    start = context.Barrier(WORKERS + 1)
    processes = [context.Process(target=_burn, args=(start, half), daemon=True) for _ in range(WORKERS)]
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
        mine, others = in_turns(_ours(bench, number, seconds, place), lambda: best(number, seconds), bench.rounds, "s")
        rows.append(_row(f"a {seconds:.0f} s job among {number:,} of 1 ms, {where}: wall / best", mine, others))
    return rows


def _ours(bench: Bench, number: int, seconds: float, place: int) -> Callable[[], float]:
    return lambda: ours(bench, number, seconds, place)


def _row(what: str, mine: Spread, others: Spread) -> Row:
    return Row(what, mine, mine.median / others.median, 1.06, 1.03, False, others)
