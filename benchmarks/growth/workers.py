"""What does a job cost the server with 1 to 64 workers of one supervisor?

There are more workers than cores, so how fast they are says nothing: the server's processor time does.
"""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.growth.server import Work
from benchmarks.growth.work import Held
from benchmarks.harness import Bench
from benchmarks.rows import Row, Spread, told

POINTS = (1, 2, 4, 8, 16, 32, 64)
QUICKLY = (1, 8)


def measure(bench: Bench) -> list[Row]:
    count, rounds = bench.size(100_000, 20_000), bench.size(3, 1)
    rows = []
    first: list[Work] = []
    for workers in QUICKLY if bench.quick else POINTS:
        works = with_workers(bench, workers, count, rounds)
        first = first or works
        rows += compared(f"{count:,} no-op jobs, {workers} workers against 1", works, first)
    return rows


def with_workers(bench: Bench, workers: int, count: int, rounds: int) -> list[Work]:
    """What a job costs, in so many rounds."""
    with bench.project("noop", BENCHMARK_QUEUES=str(Held.QUEUES * rounds)) as project:
        held = Held(project, rounds)
        project.supervisor(workers=workers).ready()
        project.wait_idle(workers)
        return [held.put_through(count) for _ in range(rounds)]


FIGURES: tuple[tuple[str, str, Callable[[Work], float]], ...] = (
    ("server's processor time per job", "µs", lambda work: work.processor),
    ("commands per second", "/s", lambda work: work.commands / work.seconds),
)


def compared(what: str, ours: list[Work], reference: list[Work]) -> list[Row]:
    """Rows of what a job costs."""
    rows = []
    for figure, unit, read in FIGURES:
        mine, others = (Spread([read(work) for work in works], unit) for works in (ours, reference))
        rows.append(told(f"{what}: {figure}", mine, others))
    return rows
