"""What does it cost the whole backlog when a tenth of the jobs has a priority?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks import drain
from benchmarks.harness import Bench, in_turns
from benchmarks.rows import Row, ratio

TENTH, KINDS = 10, 5
"""Each tenth job has one of so many priorities."""


def mixed(count: int, queues: int = 3) -> Iterator[dict[str, Any]]:
    """The jobs of `drain`, each tenth before or after the others."""
    for number, job in enumerate(drain.jobs(count, queues)):
        if number % TENTH == 0:
            job["options"] = {"priority": (-2, -1, 1, 2, 3)[number // TENTH % KINDS]}
        yield job


def measure(bench: Bench) -> list[Row]:
    count = bench.size(200_000, 40_000)
    mine, others = in_turns(
        lambda: drain.ours(bench, count, jobs=mixed), lambda: drain.ours(bench, count), bench.rounds, "jobs/s"
    )
    return [ratio("drain with priorities used by a tenth of the jobs, against none", mine, others, 0.7, 0.9)]
