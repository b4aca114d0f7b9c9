"""How much of two cores do jobs get, of us and of a pool in memory, by how long a job takes?

A job is a number of steps, the same on both sides; how many make a millisecond is found once, while both cores are
busy. The share that jobs get is what they took by the clock of their own thread, of what two cores had to give while
they were done. A processor that changes its pace, and a process that lies in memory better than another, change both
alike. The wall times of both sides are told besides: they also differ by that, a tenth and more from one process
to the next.

The pool is started beforehand and handed its jobs while it works, in chunks of the size with which it is fastest here;
ours are on the server beforehand. All have new processes in each round.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from benchmarks.apps.burning import walk
from benchmarks.apps.walking import tallied_walk
from benchmarks.floors import together
from benchmarks.harness import WORKERS, Bench, each_in_turn
from benchmarks.rows import Row, Spread, ratio, told
from benchmarks.tally import tallied

BOUNDS = {0.1: (0.85, 0.92), 1.0: (0.93, 0.96), 10.0: (0.94, 0.97)}
"""Milliseconds a job: of two cores at least, and the aim."""
AGAINST_POOL = (0.97, 1.02)
CHUNKS = (1, 8, 64, 512)
ROUNDS = 7
"""More than others have: it is about hundredths."""
UNTIMED = 1.0
"""Milliseconds below which not every job is timed."""
SOME = 16


class Work(NamedTuple):
    """A number of jobs of so many steps, of which one in `every` is timed."""

    steps: int
    number: int
    every: int


class Took(NamedTuple):
    """Seconds until all was done, and seconds of a processor that the jobs got meanwhile."""

    wall: float
    cpu: float

    @property
    def share(self) -> float:
        return self.cpu / (WORKERS * self.wall)


def pace() -> float:
    """Steps a second of a process while another is as busy; of several tries that with the least of other things. Each
    takes a second or two: two new processes may share a core for some hundredths of the first."""
    steps = 20_000_000
    return max(steps / together(lambda number: functools.partial(walk, steps)) for _ in range(5))


def ours(bench: Bench, work: Work) -> Took:
    """From the first claim until all is settled."""
    with bench.project("walking", BENCHMARK_EVERY=str(work.every)) as project:
        one = {"name": "steps", "queue": "work", "data": work.steps}
        project.producer.enqueue_many(one for _ in range(work.number))
        wall = project.drain()
        return Took(wall, tallied(project.folder))


def prepare(environment: Mapping[str, str]) -> None:
    """In a process of the pool, before its first job."""
    # Ended by TERM, which ends the program that it was forked from in another way.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.environ.update(environment)


def pool(work: Work, chunk: int) -> Took:
    """From the first job that is handed out until a pool that has been started has done all."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {"BENCHMARK_FOLDER": folder, "BENCHMARK_EVERY": str(work.every)}
        with multiprocessing.get_context("fork").Pool(WORKERS, prepare, (environment,)) as workers:
            workers.map(walk, [1] * WORKERS, 1)
            began = time.monotonic()
            for _ in workers.imap_unordered(tallied_walk, [work.steps] * work.number, chunk):
                pass
            wall = time.monotonic() - began
        return Took(wall, tallied(Path(folder)))


def rows(bench: Bench, steps: int, milliseconds: float) -> list[Row]:
    count = round(bench.size(4000, 500) / milliseconds) * WORKERS
    work = Work(steps, count, SOME if milliseconds < UNTIMED else 1)
    chunks = [chunk for chunk in CHUNKS if chunk * WORKERS <= count // 4]
    chunk = max(chunks, key=lambda chunk: pool(work, chunk).share)
    found = each_in_turn({"ours": lambda: ours(bench, work), "pool": lambda: pool(work, chunk)}, bench.size(ROUNDS, 1))
    shares, pools = (Spread([took.share for took in found[side]]) for side in ("ours", "pool"))
    walls, pools_walls = (Spread([took.wall for took in found[side]], "s") for side in ("ours", "pool"))
    what = f"{count:,} jobs of {milliseconds:g} ms"
    against = f"multiprocessing.Pool in chunks of {chunk}, {what}"
    return [
        Row(f"job CPU / (2 walls), {what}", shares, shares.median, *BOUNDS[milliseconds], True),
        ratio(f"the same / that of {against}", shares, pools, *AGAINST_POOL),
        told(f"wall of {against} / ours", pools_walls, walls),
    ]


def measure(bench: Bench) -> list[Row]:
    each = pace() / 1000
    return [row for milliseconds in BOUNDS for row in rows(bench, round(each * milliseconds), milliseconds)]
