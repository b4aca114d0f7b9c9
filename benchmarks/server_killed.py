"""The server is killed with -9 again and again, under `appendfsync always`: is an acknowledged job lost, or run again?

What counts is a ledger that the handlers write themselves, and what producers were told.
"""

from __future__ import annotations

import collections
import random
import threading
import time

from benchmarks.harness import Bench, Failed, Project
from benchmarks.rows import Row, Spread, at_most
from tempotask import JobHandle, ServerUnavailable, TempoTaskError

PRODUCERS = 2
JOBS_BETWEEN_KILLS = 10
"""Each producer adds far more; fewer mean that it has not worked."""


class Producer:
    """Adds jobs one at a time, and keeps the handles of those that were acknowledged."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._stopped = threading.Event()
        self.handles: list[JobHandle[None]] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self.handles.append(self._project.producer.enqueue(name="entry", queue="work", data=0.0005))
            except ServerUnavailable:
                continue

    def end(self) -> None:
        self._stopped.set()
        self._thread.join()


def kill_often(bench: Bench, kills: int) -> None:
    """At random moments; it is away for a moment each time."""
    for _ in range(kills):
        time.sleep(random.uniform(0.1, 0.5))
        bench.kill_server()
        time.sleep(random.uniform(0.0, 0.1))
        bench.start_server()


def count(project: Project, handles: list[JobHandle[None]]) -> tuple[int, int]:
    """How many acknowledged jobs were lost, and how many jobs were started more than once."""
    lost = set()
    for handle in handles:
        try:
            handle.result(timeout=60)
        except (TempoTaskError, TimeoutError):
            lost.add(handle.id)
    starts = collections.Counter(line.split()[1] for line in (project.folder / "ledger").read_text().splitlines())
    lost |= {handle.id for handle in handles} - starts.keys()
    return len(lost), sum(number > 1 for number in starts.values())


def measure(bench: Bench) -> list[Row]:
    kills = bench.size(100, 5)
    with bench.durable(), bench.project("busy") as project:
        project.supervisor().ready()
        producers = [Producer(project) for _ in range(PRODUCERS)]
        try:
            kill_often(bench, kills)
        finally:
            for producer in producers:
                producer.end()
        project.all_settled()
        if min(len(producer.handles) for producer in producers) < JOBS_BETWEEN_KILLS * kills:
            raise Failed(f"the producers added only {[len(producer.handles) for producer in producers]} jobs")
        handles = [handle for producer in producers for handle in producer.handles]
        lost, again = count(project, handles)
    what = f"server killed {kills} times under appendfsync always, {len(handles):,} jobs added one at a time"
    return [
        at_most(f"{what}: acknowledged and lost", Spread([float(lost)]), 0, 0),
        at_most(f"{what}: run again", Spread([float(again)]), 0, 0),
    ]
