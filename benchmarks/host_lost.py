"""A host falls silent with jobs in its hands: when does another one finish them?"""

from __future__ import annotations

import time

from benchmarks.harness import Bench, until
from benchmarks.rows import Row, Spread, at_most


def measure(bench: Bench) -> list[Row]:
    """The whole tree of one supervisor is stopped, and killed when the other has finished: killed at once, another one
    on the same host would see that the process is gone, and not wait for the lease."""
    lease = bench.size(10, 2)
    with bench.project("fatal") as project:
        first = project.supervisor(lease=lease).ready()
        handles = [project.producer.enqueue(name="stay", queue="work") for _ in range(2)]
        for handle in handles:
            until("the job's start", (project.folder / handle.id).exists)
        project.supervisor(lease=lease).ready()
        tree = first.tree()
        for process in tree:
            process.suspend()
        stopped = time.monotonic()
        try:
            for handle in handles:
                handle.result(timeout=lease + 60)
            taken = time.monotonic() - stopped
        finally:
            for process in tree:
                process.kill()
            first.process.wait()
    after = Spread([taken - lease], "s")
    what = f"a host lost: its jobs end on another supervisor after the lease ({lease} s) and"
    return [at_most(what, after, 2, 2)]
