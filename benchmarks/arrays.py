"""Does an array that many jobs are handed go through the server? How long does it take?"""

from __future__ import annotations

import time

import numpy as np

from benchmarks.harness import Bench, Failed, until
from benchmarks.rows import Row, Spread, at_most, told
from tempotask import shelf

JOBS = 8
MB = 10**6


def measure(bench: Bench) -> list[Row]:
    size = bench.size(500, 100) * MB
    array = np.arange(size // 8, dtype=float)
    with bench.project("arrays") as project:
        project.supervisor().ready()
        project.wait_idle()
        before, began = _traffic(project.redis), time.monotonic()
        jobs = [
            {"name": "total", "queue": "work", "data": {"array": array, "number": n, "parts": JOBS}}
            for n in range(JOBS)
        ]
        results = project.producer.enqueue_many(jobs).results()
        took, traffic = time.monotonic() - began, _traffic(project.redis) - before
        if sum(results) != float(array.sum()):
            raise Failed("the parts do not make up the whole")
        began = time.monotonic()
        array.copy()
        copied = time.monotonic() - began
        del array, jobs
        folder = project.producer._client.shelf.folder
        until("no file to be left", lambda: not any((root / folder).exists() for root in shelf.roots()))
    whole = f"a {size // MB} MB array handed to {JOBS} jobs"
    return [
        # What a turn and an outcome take remains; a copy would be the whole size.
        at_most(f"{whole}: copies through the server", Spread([traffic / size], ""), 0.01, 0.001),
        told(f"{whole}: until all results are there, against one copy in memory", _s(took), _s(copied)),
    ]


def _s(seconds: float) -> Spread:
    return Spread([seconds], "s")


def _traffic(redis: object) -> int:
    """Bytes into the server and out of it so far."""
    stats = redis.info("stats")  # type: ignore[attr-defined]
    return int(stats["total_net_input_bytes"]) + int(stats["total_net_output_bytes"])
