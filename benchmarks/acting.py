"""Does acting on 1,000,000 jobs ever hold the server up? What counts is its slowest command, by its own clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from benchmarks.harness import Bench, Failed, Row, Spread, at_most
from tempotask import QueueManager

QUEUES = 10


def act(bench: Bench, what: str, call: Callable[[], int], count: int) -> Row:
    bench.redis.config_set("slowlog-log-slower-than", 500)
    bench.redis.config_set("slowlog-max-len", 100_000)
    bench.redis.slowlog_reset()
    began = time.monotonic()
    acted = call()
    took = time.monotonic() - began
    if acted != count:
        raise Failed(f"{what}: {acted:,} jobs instead of {count:,}")
    slow: list[dict[str, Any]] = bench.redis.slowlog_get(100_000)
    longest = max([entry["duration"] for entry in slow], default=500) / 1000
    return at_most(
        f"{what}, {count:,} jobs in {took:.1f} s: longest hold of the server", Spread([longest], "ms"), 10, 5
    )


def measure(bench: Bench) -> list[Row]:
    count = bench.size(1_000_000, 100_000)
    options = {"max_jobs_per_status": 2 * count, "max_results": 2 * count, "max_results_bytes": 2**40}
    with bench.project("noop") as project:
        manager = QueueManager.init(bench.url, namespace=project.namespace, options=options)

        def add() -> None:
            manager.enqueue_many({"name": "noop", "queue": f"q{n % QUEUES}", "data": n} for n in range(count))

        try:
            add()
            rows = [
                act(bench, "cancel by name", lambda: manager.cancel_jobs(name="noop"), count),
                act(bench, "retry", lambda: manager.retry_jobs(status="cancelled"), count),
                act(bench, "cancel by status", lambda: manager.cancel_jobs(status="waiting"), count),
                act(bench, "delete of finished jobs", lambda: manager.delete_jobs(status="cancelled"), count),
            ]
            add()
            rows.append(act(bench, "delete by name", lambda: manager.delete_jobs(name="noop"), count))
            add()
            rows.append(act(bench, "delete of all jobs", manager.delete_all_jobs, count))
            return rows
        finally:
            manager.close()
