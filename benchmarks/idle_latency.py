"""How long is it from `enqueue` to the first line of the handler, when nothing else is going on?"""

from __future__ import annotations

import time

from benchmarks import floors
from benchmarks.harness import Bench, Project
from benchmarks.rows import Row, ratio

BOUNDS = {50: (1.6, 1.25), 99: (2.0, 1.5)}
"""By percentile, at most and the aim: times a bare RPUSH to the BLPOP of another process."""


def ours(project: Project) -> float:
    """Milliseconds of a single job. Everybody has slept before."""
    time.sleep(floors.PACE)
    began = time.time_ns()
    handle = project.producer.enqueue(name="now", queue="work")
    time.sleep(floors.PACE)
    started: int = handle.result(timeout=60)
    project.wait_idle()
    return (started - began) / 1e6


def turns(project: Project, pair: floors.Pair, count: int) -> tuple[list[float], list[float]]:
    """Ours and the bare pair after each job of ours: what disturbs the machine meanwhile is in the tails of both."""
    taken = [(ours(project), pair.wake()) for _ in range(count)]
    return [mine for mine, _ in taken], [other for _, other in taken]


def measure(bench: Bench) -> list[Row]:
    with floors.Pair(bench, floors.client) as pair, bench.project("busy") as project:
        project.supervisor().ready()
        project.wait_idle()
        turns(project, pair, 10)
        rounds = [turns(project, pair, bench.size(400, 100)) for _ in range(bench.rounds)]
    mine, others = (floors.percentiles([each[side] for each in rounds]) for side in (0, 1))
    what = "idle latency, enqueue to the first line of the handler"
    return [
        ratio(f"{what}, p{percent}", mine[percent], others[percent], *bounds, more_is_better=False)
        for percent, bounds in BOUNDS.items()
    ]
