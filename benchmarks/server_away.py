"""The server is away for 30 seconds: what becomes of the jobs at work, of producers' calls, and when do all go on?"""

from __future__ import annotations

import collections
import threading
import time

from benchmarks.harness import WORKERS, Bench, Project, until
from benchmarks.rows import Row, Spread, at_most
from tempotask import QueueManager, ServerUnavailable

ASKED = 2.0
"""Seconds for which a call is to wait for the server, before it fails."""
LONG_JOB = 0.3
"""Seconds of a core that a job takes which is at work when the server goes: over, by the time it comes back."""


def entries(project: Project) -> list[list[str]]:
    """Who started which job: the lines of the handlers' ledger."""
    return [line.split() for line in (project.folder / "ledger").read_text().splitlines()]


def fails_after(bench: Bench, project: Project) -> float:
    """Seconds after which a call fails that is to wait for `ASKED`."""
    options = {"connect_timeout": ASKED}
    with QueueManager.init(bench.url, namespace=project.namespace, options=options) as hasty:
        began = time.monotonic()
        try:
            hasty.enqueue(name="entry", queue="work", data=0.0)
        except ServerUnavailable:
            return time.monotonic() - began
    return 0.0


class Waiting:
    """A call that waits for the server as long as it takes."""

    def __init__(self, bench: Bench, project: Project) -> None:
        self._manager = QueueManager.init(bench.url, namespace=project.namespace, options={"connect_timeout": 600})
        self.returned = 0.0
        self._thread = threading.Thread(target=self._call)
        self._thread.start()

    def _call(self) -> None:
        self._manager.enqueue(name="entry", queue="work", data=0.0)
        self.returned = time.monotonic()

    def end(self) -> float:
        """When it returned."""
        self._thread.join()
        self._manager.close()
        return self.returned


def measure(bench: Bench) -> list[Row]:
    away = bench.size(30, 4)
    with bench.durable(), bench.project("busy") as project:
        project.supervisor().ready()
        project.wait_idle()
        at_work = [project.producer.enqueue(name="entry", queue="work", data=LONG_JOB) for _ in range(WORKERS)]
        until("both to be at work", lambda: len(entries(project)) == WORKERS)
        behind = project.producer.enqueue_many({"name": "entry", "queue": "work", "data": 0.05} for _ in range(100))
        bench.kill_server()
        gone = time.monotonic()
        call = Waiting(bench, project)
        failed_after = fails_after(bench, project)
        time.sleep(max(0.0, gone + away - time.monotonic()))
        before = len(entries(project))
        bench.start_server()
        back = time.monotonic()
        until("all workers to be at work", lambda: len({pid for pid, _ in entries(project)[before:]}) == WORKERS, 0.002)
        working = time.monotonic()
        returned = call.end()
        project.all_settled()
        starts = collections.Counter(id for _, id in entries(project))
        hurt = sum(starts[handle.id] != 1 or handle.status() != "completed" for handle in (*at_work, *behind))
    what = f"server away for {away} s"
    return [
        at_most(f"{what}: jobs lost, run again or failed", Spread([float(hurt)]), 0, 0),
        at_most(f"{what}: all workers at work again after", Spread([working - back], "s"), 1, 0.6),
        at_most(f"{what}: a call that waits for it returns after", Spread([returned - back], "s"), 1, 0.6),
        at_most(
            f"{what}: a call that is to wait {ASKED:g} s fails, off by",
            Spread([abs(failed_after - ASKED)], "s"),
            1,
            0.2,
        ),
    ]
