"""How much of two cores do jobs get, and how does a pool in memory fare with the same, by how long a job takes?

A job is a number of steps, the same on all sides. How many make a millisecond is found once, while both cores are busy.
The CPU time of all jobs is what two bare processes need that only walk their half each; they are measured in turns with
us, so that a machine that changes its pace changes both. The pool is started beforehand and handed its jobs while it
works, in chunks of the size with which it is fastest here; ours are on the server beforehand. All have new processes in
each round: how a process lies in memory makes some percent, and stays as it is.
"""

from __future__ import annotations

import functools
import multiprocessing
import signal
import time

from benchmarks.apps.burning import walk
from benchmarks.floors import together
from benchmarks.harness import WORKERS, Bench, each_in_turn
from benchmarks.rows import Row, Spread, by_rounds

BOUNDS = {0.1: (0.85, 0.92), 1.0: (0.93, 0.96), 10.0: (0.94, 0.97)}
"""Milliseconds a job: of two cores at least, and the aim."""
AGAINST_POOL = (0.97, 1.02)
CHUNKS = (1, 8, 64, 512)
ROUNDS = 7
"""More than others have: it is about hundredths."""


def bare(steps: int) -> float:
    """Seconds that two processes need for so many steps each, and nothing else."""
    return together(lambda number: functools.partial(walk, steps))


def pace() -> float:
    """Steps a second of a process while another is as busy; of several tries that with the least of other things. Each
    takes a second or two: two new processes may share a core for some hundredths of the first."""
    steps = 20_000_000
    return max(steps / bare(steps) for _ in range(5))


def ours(bench: Bench, steps: int, count: int) -> float:
    """Seconds from the first claim until all is settled."""
    with bench.project("walking") as project:
        project.producer.enqueue_many({"name": "steps", "queue": "work", "data": steps} for _ in range(count))
        return project.drain()


def pool(steps: int, count: int, chunk: int) -> float:
    """Seconds until a pool that has been started has done so many jobs."""
    # Its processes are ended by TERM, which ends this one in another way.
    default = (signal.SIGTERM, signal.SIG_DFL)
    with multiprocessing.get_context("fork").Pool(WORKERS, signal.signal, default) as workers:
        workers.map(walk, [1] * WORKERS, 1)
        began = time.monotonic()
        for _ in workers.imap_unordered(walk, [steps] * count, chunk):
            pass
        return time.monotonic() - began


def rows(bench: Bench, steps: int, milliseconds: float) -> list[Row]:
    count = round(bench.size(4000, 500) / milliseconds) * WORKERS
    chunks = [chunk for chunk in CHUNKS if chunk * WORKERS <= count // 4]
    chunk = min(chunks, key=lambda chunk: pool(steps, count, chunk))
    seconds = each_in_turn(
        {
            "bare": lambda: bare(steps * count // WORKERS),
            "ours": lambda: ours(bench, steps, count),
            "pool": lambda: pool(steps, count, chunk),
        },
        bench.size(ROUNDS, 1),
    )
    alone, mine, others = (Spread(seconds[side], "s") for side in ("bare", "ours", "pool"))
    share, faster = by_rounds(alone, mine).median, by_rounds(others, mine).median
    what = f"{count:,} jobs of {milliseconds:g} ms"
    chunked = f"wall of multiprocessing.Pool in chunks of {chunk} / ours, {what}"
    return [
        Row(f"job CPU / (2 walls), {what}", mine, share, *BOUNDS[milliseconds], True, alone),
        Row(chunked, mine, faster, *AGAINST_POOL, True, others),
    ]


def measure(bench: Bench) -> list[Row]:
    each = pace() / 1000
    return [row for milliseconds in BOUNDS for row in rows(bench, round(each * milliseconds), milliseconds)]
