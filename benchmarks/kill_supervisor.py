"""The supervisor is killed with -9: how long does anything outlive it, and when do its jobs run on another one?

Here the other one is on the same host, and sees that the process is gone; of another host, it waits for the lease
(host_lost.py).
"""

from __future__ import annotations

import time

import psutil

from benchmarks.harness import Bench, until
from benchmarks.rows import Row, Spread, at_most


def alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def once(bench: Bench) -> float:
    """Seconds from the kill until nothing of the tree is left."""
    with bench.project("fatal") as project:
        supervisor = project.supervisor().ready()
        for _ in range(2):
            handle = project.producer.enqueue(name="backtrack", queue="work")
            until("the job's start", (project.folder / handle.id).exists)
        tree = supervisor.tree()
        supervisor.process.kill()
        killed = time.monotonic()
        supervisor.process.wait()
        try:
            until("the end of all processes", lambda: not any(map(alive, tree)), within=30)
        finally:
            for process in filter(alive, tree):
                process.kill()
        return time.monotonic() - killed


def taken_over(bench: Bench) -> float:
    """Seconds from the kill until the last of its jobs has started on another supervisor of this host."""
    with bench.project("fatal") as project:
        first = project.supervisor().ready()
        handles = [project.producer.enqueue(name="stay", queue="work") for _ in range(2)]
        for handle in handles:
            until("the job's start", (project.folder / handle.id).exists)
        project.supervisor().ready()
        killed = time.time_ns()
        first.process.kill()
        first.process.wait()
        last: int = max(handle.result(timeout=60) for handle in handles)
        return (last - killed) / 1e9


def measure(bench: Bench) -> list[Row]:
    number = bench.size(5, 2)
    gone = Spread([once(bench) for _ in range(number)], "s")
    again = Spread([taken_over(bench) for _ in range(number)], "s")
    return [
        at_most(
            "the supervisor killed with -9, workers in a regular expression: nothing left after (worst)",
            *(gone, 0.5, 0.5),
            figure=max(gone.values),
        ),
        at_most(
            "the supervisor killed with -9: its jobs run on another one of the same host after (worst)",
            *(again, 2.5, 2),
            figure=max(again.values),
        ),
    ]
