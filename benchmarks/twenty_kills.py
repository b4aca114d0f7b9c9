"""Workers are killed all through a batch: is a job lost, settled twice, or blamed for a death that was not its own?

What counts is a ledger that the handlers write themselves: which process started which job, in which order.
"""

from __future__ import annotations

import collections
import contextlib
import itertools
import os
import random
import signal
import time

from benchmarks.harness import Bench, Failed, Project, Supervisor
from benchmarks.rows import Row, Spread, at_most
from tempotask import JobHandles, TempoTaskError
from tempotask.store.pages import decode_page
from tempotask.store.reading import pages
from tempotask.store.records import FINISHED, flag

SECONDS = 0.005


def kill_some(supervisor: Supervisor, kills: int, within: float) -> set[int]:
    """Kills workers at random moments; the pids of those that were hit."""
    hit: set[int] = set()
    for moment in itertools.pairwise([0.0, *sorted(random.uniform(0, within) for _ in range(kills))]):
        time.sleep(moment[1] - moment[0])
        while not (workers := [each for each in supervisor.workers() if each.pid not in hit]):
            time.sleep(0.01)
        victim = random.choice(workers).pid
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
            hit.add(victim)
    return hit


def count(project: Project, handles: JobHandles[None], killed: set[int]) -> tuple[int, int, int]:
    """How many jobs were lost, settled twice, and blamed without having run."""
    lost = 0
    for handle in handles:
        try:
            handle.result(timeout=10)
        except (TempoTaskError, TimeoutError):
            lost += 1
    finished = [
        job
        for status in FINISHED
        for stored in pages(project.store, f"history:work:{status}")
        for job in decode_page(stored).jobs
    ]
    if len(finished) < len(handles) - lost:
        raise Failed(f"history shows {len(finished):,} of {len(handles):,} jobs")
    twice = len(finished) - len({job.record.id for job in finished})
    ran_last: dict[int, str] = {}
    for line in (project.folder / "ledger").read_text().splitlines():
        pid, id = line.split()
        ran_last[int(pid)] = id
    deaths = collections.Counter(ran_last[pid] for pid in killed if pid in ran_last)
    blamed = sum(max(0, flag(job.record, "c") - deaths[job.record.id]) for job in finished)
    return lost, twice, blamed


def measure(bench: Bench) -> list[Row]:
    jobs, kills = bench.size(4000, 1000), bench.size(20, 5)
    with bench.project("busy") as project:
        handles = project.producer.enqueue_many(
            {"name": "entry", "queue": "work", "data": SECONDS} for _ in range(jobs)
        )
        supervisor = project.supervisor().ready()
        killed = kill_some(supervisor, kills, jobs * SECONDS / 2 * 0.9)
        project.all_settled()
        found = count(project, handles, killed)
    names = ("lost", "settled twice", "blamed without having run")
    return [
        at_most(f"{len(killed)} kills in a batch of {jobs:,} jobs: {name}", Spread([float(number)]), 0, 0)
        for name, number in zip(names, found, strict=True)
    ]
