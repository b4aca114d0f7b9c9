"""How fast are no-op jobs drained, against `multiprocessing.Pool` at one job a call?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.harness import Bench, Failed, in_turns
from benchmarks.peers.pools import ONE, POOLS
from benchmarks.rows import Row, ratio

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


def measure(bench: Bench) -> list[Row]:
    count = bench.size(200_000, 40_000)
    pool = POOLS["pool"]
    mine, others = in_turns(lambda: ours(bench, count), lambda: pool.drain(ONE, count), bench.rounds, "jobs/s")
    return [ratio("drain of no-op jobs over 3 queues, against multiprocessing.Pool", mine, others, 3, 6)]
