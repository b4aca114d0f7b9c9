"""A worker is killed with -9 at work: when does its job run again?"""

from __future__ import annotations

import os
import signal
import time

from benchmarks.harness import Bench, until
from benchmarks.rows import Row, Spread, at_most


def measure(bench: Bench) -> list[Row]:
    taken = []
    with bench.project("fatal") as project:
        supervisor = project.supervisor().ready()
        for _ in range(bench.size(20, 5)):
            project.wait_idle()
            handle = project.producer.enqueue(name="stay", queue="work")
            mark = project.folder / handle.id
            until("the job's start", mark.exists)
            killed = time.time_ns()
            os.kill(int(mark.read_text()), signal.SIGKILL)
            taken.append((handle.result(timeout=60) - killed) / 1e9)
        supervisor.end()
    again = Spread(taken, "s")
    return [at_most("a worker killed with -9 at work: its job runs again within", again, 0.2, 0.03)]
