"""Are all results of a large batch there for who waits for them, and what does waiting cost?

The history keeps ten jobs a queue; results must not depend on it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from benchmarks import drain
from benchmarks.harness import Bench, Failed, in_turns
from benchmarks.rows import Row, Spread, ratio
from tempotask import JobHandles

HISTORY = 10


def at_once(handles: JobHandles[int]) -> list[int]:
    return handles.results(timeout=600)


def one_by_one(handles: JobHandles[int]) -> list[int]:
    return [handle.result(timeout=600) for handle in handles]


def ours(bench: Bench, count: int, read: Callable[[JobHandles[int]], list[int]] = at_once) -> float:
    """Jobs a second, from the first claim until `read` has the last result in hand."""
    with bench.project("noop", BENCHMARK_HISTORY=str(HISTORY)) as project:
        handles = project.producer.enqueue_many(
            {"name": "echo", "queue": f"q{number % 3}", "data": number} for number in range(count)
        )
        claimed: list[float] = []
        watch = threading.Thread(target=lambda: claimed.append(project.first_claim()), daemon=True)
        watch.start()
        project.supervisor()
        results = read(handles)
        ended = time.monotonic()
        watch.join()
        wrong = sum(result != number for number, result in enumerate(results))
        if wrong or len(results) != count:
            raise Failed(f"{wrong:,} of {count:,} results are wrong, {count - len(results):,} are missing")
        return count / (ended - claimed[0])


def measure(bench: Bench) -> list[Row]:
    count = bench.size(100_000, 20_000)
    mine, others = in_turns(
        lambda: ours(bench, count), lambda: drain.ours(bench, count, history=HISTORY), bench.rounds, "jobs/s"
    )
    row = ratio(f"enqueue_many({count:,}).results(), all right, against the plain drain", mine, others, 0.3, 0.6)
    singly = Spread([ours(bench, count, one_by_one)], "jobs/s")
    # It has no bound: what counts is that the results are the same, else `ours` fails.
    told = Row("and [h.result() for h in …] gives the same", singly, singly.median, None, None, True)
    return [row, told]
