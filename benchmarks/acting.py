"""Does acting on 1,000,000 jobs ever hold the server up? What counts is its slowest command, by its own clock.

That clock goes on while another process has the server's core, so everything is done twice, command by command the
same. A command that is slow is so both times; one that was interrupted as a rule is not. So of each the shorter time
counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from benchmarks.harness import Bench, Failed
from benchmarks.rows import Row, Spread, at_most
from tempotask import QueueManager

QUEUES = 10


class Act(NamedTuple):
    """What acting on all jobs in one way took."""

    seconds: float
    holds: list[float]
    """Of each command in turn, for how many milliseconds it held the server."""


def act(bench: Bench, what: str, call: Callable[[], int], count: int) -> Act:
    # To empty a long log takes a while too, so nothing is written to it then.
    bench.redis.config_set("slowlog-log-slower-than", -1)
    bench.redis.slowlog_reset()
    bench.redis.config_set("slowlog-max-len", 200_000)
    bench.redis.config_set("slowlog-log-slower-than", 0)
    began = time.monotonic()
    acted = call()
    seconds = time.monotonic() - began
    bench.redis.config_set("slowlog-log-slower-than", -1)
    if acted != count:
        raise Failed(f"{what}: {acted:,} jobs instead of {count:,}")
    log = sorted(bench.redis.slowlog_get(200_000), key=lambda entry: entry["id"])
    return Act(seconds, [entry["duration"] / 1000 for entry in log])


def all_acts(bench: Bench, manager: QueueManager[None], count: int) -> dict[str, Act]:
    def add() -> None:
        manager.enqueue_many({"name": "noop", "queue": f"q{n % QUEUES}", "data": n} for n in range(count))

    acts = {}
    add()
    for what, call in (
        ("cancel by name", lambda: manager.cancel_jobs(name="noop")),
        ("retry", lambda: manager.retry_jobs(status="cancelled")),
        ("cancel by status", lambda: manager.cancel_jobs(status="waiting")),
        ("delete of finished jobs", lambda: manager.delete_jobs(status="cancelled")),
    ):
        acts[what] = act(bench, what, call, count)
    for what, call in (
        ("delete by name", lambda: manager.delete_jobs(name="noop")),
        ("delete of all jobs", manager.delete_all_jobs),
    ):
        add()
        acts[what] = act(bench, what, call, count)
    return acts


def measure(bench: Bench) -> list[Row]:
    count = bench.size(1_000_000, 100_000)
    options = {"max_jobs_per_status": 2 * count, "max_results": 2 * count, "max_results_bytes": 2**40}
    with bench.project("noop") as project:
        manager = QueueManager.init(bench.url, namespace=project.namespace, options=options)
        try:
            first, second = (all_acts(bench, manager, count) for _ in range(2))
        finally:
            manager.close()
    rows = []
    for what, one in first.items():
        other = second[what]
        if len(one.holds) != len(other.holds):
            raise Failed(f"{what}: {len(one.holds):,} commands the first time, {len(other.holds):,} the second")
        longest = max(map(min, one.holds, other.holds))
        told = f"{what}, {count:,} jobs in {min(one.seconds, other.seconds):.1f} s: longest hold of the server"
        rows.append(at_most(told, Spread([longest], "ms"), 10, 5))
    return rows
