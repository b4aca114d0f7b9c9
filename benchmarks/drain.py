"""How fast are no-op jobs drained, against `multiprocessing.Pool` at one job a call?"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.harness import WORKERS, Bench, Failed, Row, Spread, in_turns, ratio

PATH = "/srv/images/2024/{:06d}"
"""Makes a payload of 30 bytes."""


def jobs(count: int, queues: int = 3) -> Iterator[dict[str, Any]]:
    """So many no-op jobs, evenly over the queues."""
    return (
        {"name": "noop", "queue": f"q{number % queues}", "data": {"path": PATH.format(number)}}
        for number in range(count)
    )


def ours(
    bench: Bench,
    count: int,
    queues: int = 3,
    history: int | None = None,
    *,
    application: str = "noop",
    jobs: Callable[[int, int], Iterator[dict[str, Any]]] = jobs,
) -> float:
    """Jobs a second, from a supervisor's first claim until the last job is settled."""
    settings = {"BENCHMARK_QUEUES": str(queues)} | ({"BENCHMARK_HISTORY": str(history)} if history else {})
    with bench.project(application, **settings) as project:
        project.producer.enqueue_many(jobs(count, queues))
        seconds = project.drain()
        counts = (project.redis.hget(project.key(f"counts:q{queue}"), "completed") for queue in range(queues))
        completed = sum(int(each or 0) for each in counts)
        if completed != count:
            raise Failed(f"{completed:,} of {count:,} jobs completed")
        return count / seconds


def pool(count: int) -> float:
    """Jobs a second of two processes that the standard library keeps."""
    with multiprocessing.get_context("fork").Pool(WORKERS) as workers:
        workers.map(abs, range(WORKERS))
        began = time.monotonic()
        for _ in workers.imap_unordered(abs, range(count)):
            pass
        return count / (time.monotonic() - began)


def against_pool(bench: Bench, count: int) -> tuple[Spread, Spread]:
    return in_turns(lambda: ours(bench, count), lambda: pool(count), bench.rounds, "jobs/s")


def measure(bench: Bench) -> list[Row]:
    mine, others = against_pool(bench, bench.size(200_000, 40_000))
    return [ratio("drain of no-op jobs over 3 queues, against multiprocessing.Pool", mine, others, 3, 6)]
