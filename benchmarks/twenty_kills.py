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

from benchmarks.harness import Bench, Failed, Project, Row, Spread, Supervisor, at_most
from tempotask import JobHandles, TempoTaskError
from tempotask.store import look
from tempotask.store.records import flag

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
    counts = project.redis.hgetall(project.key("counts:work"))
    settled = sum(int(counts.get(status, 0)) for status in (b"completed", b"failed", b"cancelled"))
    ran_last: dict[int, str] = {}
    for line in (project.folder / "ledger").read_text().splitlines():
        pid, id = line.split()
        ran_last[int(pid)] = id
    deaths = collections.Counter(ran_last[pid] for pid in killed if pid in ran_last)
    finished, _ = look.jobs(project.store, limit=len(handles) + 1)
    if len(finished) != len(handles):
        raise Failed(f"history shows {len(finished):,} of {len(handles):,} jobs")
    blamed = sum(max(0, flag(each.record, "c") - deaths[each.id]) for each in finished if each.record is not None)
    return lost, max(0, settled - len(handles) + lost), blamed


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
