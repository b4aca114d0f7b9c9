"""How fast does `enqueue_many` add jobs, against a bare RPUSH of records made beforehand?"""

from __future__ import annotations

import time

from benchmarks import drain, floors
from benchmarks.harness import Bench, in_turns
from benchmarks.rows import Row, ratio


def ours(bench: Bench, count: int) -> float:
    """Jobs a second: what the caller holds already is not counted, what is made of it is."""
    given = list(drain.jobs(count))
    with bench.project("noop") as project:
        project.producer.enqueue(name="noop", queue="warm")
        began = time.monotonic()
        project.producer.enqueue_many(given)
        return count / (time.monotonic() - began)


def bare(bench: Bench, count: int) -> float:
    pace = floors.push(bench, "{limit}:queue", count)
    bench.redis.flushall()
    return pace


def measure(bench: Bench) -> list[Row]:
    count = bench.size(200_000, 40_000)
    mine, others = in_turns(lambda: ours(bench, count), lambda: bare(bench, count), bench.rounds, "jobs/s")
    return [ratio("enqueue_many, against a bare RPUSH by the thousand", mine, others, 0.25, 0.5)]
