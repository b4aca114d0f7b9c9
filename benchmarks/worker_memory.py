"""How much memory does a worker take for itself, beyond the application that it shares with its nursery?"""

from __future__ import annotations

from benchmarks import drain
from benchmarks.harness import Bench
from benchmarks.rows import Row, Spread, at_most

MIB = 1 << 20


def measure(bench: Bench) -> list[Row]:
    with bench.project("noop") as project:
        supervisor = project.supervisor().ready()
        project.producer.enqueue_many(drain.jobs(bench.size(50_000, 10_000)))
        project.all_settled()
        project.wait_idle()
        # Forked: what the import made is shared with the nursery as long as nobody writes to it, and so is not unique.
        own = Spread([worker.memory_full_info().uss / MIB for worker in supervisor.workers()], "MiB")
    return [at_most("a worker's own memory (USS) after work, the larger one", own, 15, 8, figure=max(own.values))]
