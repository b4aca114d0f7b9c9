"""The supervisor is killed with -9 while its workers hold the interpreter: how long does anything outlive it?"""

from __future__ import annotations

import time

import psutil

from benchmarks.harness import Bench, Row, Spread, at_most, until


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


def measure(bench: Bench) -> list[Row]:
    taken = Spread([once(bench) for _ in range(bench.size(5, 2))], "s")
    what = "the supervisor killed with -9, workers in a regular expression: nothing left after (worst)"
    return [at_most(what, taken, 0.5, 0.5, figure=max(taken.values))]
