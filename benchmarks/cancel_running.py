"""A running handler that does not listen is cancelled: when does its slot work again?"""

from __future__ import annotations

import time
from typing import Any

from benchmarks.harness import WORKERS, Bench, Failed, Project, until
from benchmarks.rows import Row, Spread, at_most
from tempotask import JobHandle


def measure(bench: Bench) -> list[Row]:
    """Both slots are taken, one is freed by a cancel, and a job that waits starts in it."""
    taken = []
    with bench.project("stuck") as project:
        supervisor = project.supervisor().ready()
        stuck = [_stuck(project) for _ in range(WORKERS)]
        for number in range(bench.size(20, 4)):
            after = project.producer.enqueue(name="now", queue="work")
            began = time.time_ns()
            if not stuck.pop(0).cancel():
                raise Failed("a running job was not cancelled")
            taken.append((after.result(timeout=60) - began) / 1e9)
            stuck.append(_stuck(project))
            if stuck[-1].status() != "processing":
                raise Failed(f"cancel {number} hit another job")
        for handle in stuck:
            handle.cancel()
        supervisor.end()
    again = Spread(taken, "s")
    what = "cancel of a running def handler, cancel_grace=0, until the slot works again"
    return [at_most(what, again, 0.3, 0.05)]


def _stuck(project: Project) -> JobHandle[Any]:
    """A job that runs, and would for ever."""
    handle = project.producer.enqueue(name="count", queue="work", options={"cancel_grace": 0})
    until("the job's start", (project.folder / handle.id).exists)
    return handle
