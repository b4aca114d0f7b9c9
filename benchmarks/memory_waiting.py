"""How much of the server's memory does a waiting job take?"""

from __future__ import annotations

from benchmarks import drain
from benchmarks.harness import Bench, Project
from benchmarks.rows import Row, Spread, at_most


def used(project: Project) -> int:
    return int(project.redis.info("memory")["used_memory"])


def measure(bench: Bench) -> list[Row]:
    count = bench.size(200_000, 50_000)
    with bench.project("noop") as project:
        # Scripts and connections are there before, and are not counted.
        project.producer.enqueue(name="noop", queue="q0")
        before = used(project)
        project.producer.enqueue_many(drain.jobs(count))
        each = Spread([(used(project) - before) / count], "B")
    return [at_most("memory per waiting job at the server, 30 bytes of payload", each, 120, 80)]
