"""How late do delayed jobs start, and does one ever start early?

All are due within one second, spread evenly, on a pool that has nothing else to do. Times are those of the server's
host, which is this one.
"""

from __future__ import annotations

from datetime import UTC, datetime

from benchmarks.harness import Bench, Failed
from benchmarks.rows import Row, Spread, at_most

JOBS = 1000
AHEAD = 2.0
"""Seconds from enqueueing until the first is due."""


def lateness(bench: Bench) -> list[float]:
    """Milliseconds, sorted."""
    with bench.project("timely") as project:
        project.supervisor().ready()
        project.wait_idle()
        began = project.store.now() + AHEAD
        due = {f"j{n}": began + n / JOBS for n in range(JOBS)}
        producer = project.producer
        handles = producer.enqueue_many(
            {"name": "now", "queue": "work", "options": {"id": id, "delay_until": datetime.fromtimestamp(at, UTC)}}
            for id, at in due.items()
        )
        if project.store.now() > began:
            raise Failed("enqueueing took longer than the time ahead")
        handles.results(timeout=60)
        told = [line.split() for line in (project.folder / "ledger").read_text().splitlines()]
    if len(told) != JOBS:
        raise Failed(f"{len(told):,} of {JOBS:,} jobs ran")
    return sorted((float(at) - due[id]) * 1000 for id, _, at in told)


def measure(bench: Bench) -> list[Row]:
    rounds = [lateness(bench) for _ in range(bench.rounds)]
    late = Spread([found[int(JOBS * 0.99)] for found in rounds], "ms")
    # The server counts in whole milliseconds.
    early = sum(one < -1.0 for found in rounds for one in found)
    return [
        at_most(f"{JOBS:,} delayed jobs due within a second, idle pool: lateness p99", late, 20, 5),
        at_most("of them started early", Spread([float(early)]), 0, 0),
    ]
