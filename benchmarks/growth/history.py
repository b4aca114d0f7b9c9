"""What does it cost to keep 10 to 100,000 finished jobs of a queue for looking at?"""

from __future__ import annotations

from benchmarks.growth.work import drained
from benchmarks.harness import Bench
from benchmarks.rows import Row, Spread, told

POINTS = (10, 1_000, 10_000, 100_000)
QUICKLY = (10, 10_000)


def measure(bench: Bench) -> list[Row]:
    points = QUICKLY if bench.quick else POINTS
    measured = [kept(bench, limit) for limit in points]
    rows = []
    for limit, (times, held) in zip(points, measured, strict=True):
        what = f"history of {limit:,} completed jobs, against {points[0]}"
        rows.append(told(f"{what}: server's processor time per job", times, measured[0][0]))
        rows.append(told(f"{what}: server memory of the history", held, measured[0][1]))
    return rows


def kept(bench: Bench, limit: int) -> tuple[Spread, Spread]:
    """The server's processor time per job of a supervisor once that many are kept, and the memory of those."""
    count = bench.size(50_000, 10_000)
    with bench.project("noop", BENCHMARK_QUEUES="1", BENCHMARK_HISTORY=str(limit)) as project:
        drained(project, max(count, limit + limit // 10), 1)
        times = [drained(project, count, 1).processor for _ in range(bench.size(3, 1))]
        key = project.key("history:q0:completed")
        held = float(project.redis.memory_usage(key, samples=0) or 0)
    return Spread(times, "µs"), Spread([held / 1024], "KiB")
