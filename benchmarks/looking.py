"""How long does looking take, at jobs and at queues, when 1,000,000 jobs wait in 100 queues?"""

from __future__ import annotations

import time
from collections.abc import Callable

from benchmarks.harness import Bench
from benchmarks.rows import Row, Spread, at_most
from tempotask.store import lists

QUEUES = 100
LOOKS = 21


def milliseconds(look: Callable[[], object]) -> Spread:
    values = []
    for _ in range(LOOKS):
        began = time.perf_counter()
        look()
        values.append((time.perf_counter() - began) * 1000)
    return Spread(values, "ms")


def measure(bench: Bench) -> list[Row]:
    count = bench.size(1_000_000, 100_000)
    with bench.project("noop") as project:
        manager = project.producer
        manager.enqueue_many({"name": "noop", "queue": f"q{n % QUEUES}", "data": n} for n in range(count))
        # So that there is history to look at, too.
        for queue in range(QUEUES):
            manager.enqueue_many({"name": "gone", "queue": f"q{queue}"} for _ in range(200))
        manager.cancel_jobs(name="gone")
        told = f"{count:,} jobs in {QUEUES} queues"
        return [
            at_most(f"get_jobs(limit=50), {told}", milliseconds(lambda: manager.get_jobs(limit=50)), 50, 10),
            at_most(f"the list of queues, {told}", milliseconds(lambda: lists.queues(project.store)), 50, 10),
            at_most(
                f"get_sorted_jobs(max_jobs_per_status=2), {told}",
                milliseconds(lambda: manager.get_sorted_jobs(2)),
                50,
                10,
            ),
        ]
