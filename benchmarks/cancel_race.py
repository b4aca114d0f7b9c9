"""Jobs are cancelled while they start, run and end: is another job ever hit than the one that is meant?

What counts is a ledger that the handlers write themselves. A job that was not cancelled must have started once, run to
its end, and not have been told to end; one that was must be `cancelled`. Of those that are cancelled, every second has
no grace, so that its process is killed while its neighbours wait behind it; the others are told and end by themselves.
"""

from __future__ import annotations

import collections
import random
import threading
import time
from typing import Any

import msgspec

from benchmarks.harness import Bench, Failed, Project, until
from benchmarks.rows import Row, Spread, at_most
from tempotask import JobHandle, JobHandles
from tempotask.store.records import Outcome

CHUNK = 100
THREADS = 2
Marks = collections.Counter[tuple[str, str]]


class Race:
    """One namespace's jobs, and what became of them."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.ids: list[str] = []
        self.cancelled: set[str] = set()
        self.late = 0
        """Cancels that came when the job had ended."""
        self._lock = threading.Lock()

    def run_chunk(self) -> None:
        """Some jobs, half of which are cancelled in the order in which they run."""
        jobs = [
            {
                "name": "enter",
                "queue": "work",
                "data": random.uniform(0, 0.008),
                "options": {"cancel_grace": n % 4 // 2},
            }
            for n in range(CHUNK)
        ]
        handles: JobHandles[Any] = self.project.producer.enqueue_many(jobs)
        self.ids += [handle.id for handle in handles]
        meant = handles[::2]
        threads = [threading.Thread(target=self._cancel, args=(meant[n::THREADS],)) for n in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        until("the chunk's end", self.project.store.quiet)

    def _cancel(self, handles: list[JobHandle[Any]]) -> None:
        for handle in handles:
            time.sleep(random.uniform(0, 0.002))
            done = handle.cancel()
            with self._lock:
                self.cancelled |= {handle.id} if done else set()
                self.late += not done

    def judge(self) -> tuple[int, int, int]:
        """How many jobs were hit that were not meant, how many cancelled ones did complete, how many were cut off."""
        marks: Marks = collections.Counter()
        for line in (self.project.folder / "ledger").read_text().splitlines():
            id, _, what = line.partition(" ")
            marks[id, what] += 1
        hit = spared = cut = 0
        for start in range(0, len(self.ids), 1000):
            some = self.ids[start : start + 1000]
            for id, outcome in zip(some, self.project.store.ask("judge", some), strict=True):
                if outcome is None:
                    raise Failed(f"job {id} has no outcome")
                status = msgspec.msgpack.decode(outcome, type=Outcome).status
                if id in self.cancelled:
                    spared += status != "cancelled"
                    cut += marks[id, "start"] > 0
                else:
                    whole = [marks[id, what] for what in ("start", "end", "told")] == [1, 1, 0]
                    hit += not whole or status != "completed"
        return hit, spared, cut


def measure(bench: Bench) -> list[Row]:
    chunks = bench.size(400, 6)
    with bench.project("racing") as project:
        supervisor = project.supervisor().ready()
        race = Race(project)
        for _ in range(chunks):
            race.run_chunk()
        hit, spared, cut = race.judge()
        supervisor.end()
    number = len(race.cancelled) + race.late
    told = f"{number:,} cancels racing with starts and ends ({cut:,} hit a job that ran, {race.late:,} came too late)"
    return [
        at_most(f"{told}: another job hit", Spread([float(hit)]), 0, 0),
        at_most(f"{told}: cancelled, and completed", Spread([float(spared)]), 0, 0),
    ]
