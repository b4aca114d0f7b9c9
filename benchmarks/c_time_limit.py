"""A handler is stuck in C code that holds the interpreter: when has its time limit failed the job?"""

from __future__ import annotations

import time

from benchmarks.harness import Bench, Failed, until
from benchmarks.rows import Row, Spread, at_most
from tempotask import JobTimeout

TIMEOUT = 1.0


def measure(bench: Bench) -> list[Row]:
    taken = []
    with bench.project("stuck") as project:
        supervisor = project.supervisor().ready()
        for _ in range(bench.size(10, 2)):
            project.wait_idle()
            handle = project.producer.enqueue(name="count", queue="work", options={"timeout": TIMEOUT})
            mark = project.folder / handle.id
            until("the job's start", mark.exists)
            began = float(mark.read_text())
            try:
                handle.result(timeout=60)
            except JobTimeout:
                taken.append(time.time() - began)
            else:
                raise Failed("a job that never ends has ended")
        supervisor.end()
    failed = Spread(taken, "s")
    return [at_most("stuck in C code that holds the GIL, timeout=1: failed after", failed, 1.4, 1.25)]
