"""One job among a thousand kills its process each time: does it fail in time, and is anybody else blamed?"""

from __future__ import annotations

import collections
import random

from benchmarks.harness import Bench, Failed
from benchmarks.rows import Row, Spread, at_most
from tempotask import JobHandle, TempoTaskError, WorkerCrashed
from tempotask.store.pages import decode_page
from tempotask.store.reading import pages
from tempotask.store.records import FINISHED, flag

JOBS, MAX_CRASHES = 1000, 3
MARKS = "ch"
"""Flags of a job that is blamed for a crash, or suspected."""


def ended_well(handle: JobHandle[None]) -> bool:
    try:
        handle.result(timeout=120)
    except (TempoTaskError, TimeoutError):
        return False
    return True


def once(bench: Bench) -> tuple[int, int, int]:
    """How many processes the poisonous job killed; how many others were blamed, and how many did not end well."""
    with bench.project("dying") as project:
        names = ["innocent"] * JOBS
        names.insert(random.randrange(JOBS), "poison")
        handles = project.producer.enqueue_many({"name": name, "queue": "work"} for name in names)
        project.supervisor().ready()
        position = names.index("poison")
        poison = handles[position].id
        try:
            handles[position].result(timeout=120)
        except WorkerCrashed:
            pass
        else:
            raise Failed("the poisonous job did not fail")
        lost = sum(not ended_well(handle) for handle in handles if handle.id != poison)
        lines = (project.folder / "ledger").read_text().split("\n")
        starts = collections.Counter(line.partition(" ")[2] for line in lines)
        finished = [
            job
            for status in FINISHED
            for stored in pages(project.store, f"history:work:{status}")
            for job in decode_page(stored).jobs
        ]
        others = [job.record for job in finished if job.record.id != poison]
        blamed = sum(any(flag(record, mark) for mark in MARKS) for record in others)
        return starts[poison], blamed, lost


def measure(bench: Bench) -> list[Row]:
    rounds = [once(bench) for _ in range(bench.size(10, 2))]
    killed, blamed, lost = ([float(number) for number in column] for column in zip(*rounds, strict=True))
    if min(killed) < MAX_CRASHES:
        raise Failed(f"the poisonous job had only {min(killed):.0f} of {MAX_CRASHES} tries")
    what = f"a job among {JOBS:,} that kills its process each time, {len(rounds)} rounds:"
    return [
        at_most(f"{what} it fails after", Spread(killed, "deaths"), MAX_CRASHES, MAX_CRASHES, figure=max(killed)),
        at_most(f"{what} others blamed", Spread([sum(blamed)]), 0, 0),
        at_most(f"{what} others that did not end well", Spread([sum(lost)]), 0, 0),
    ]
