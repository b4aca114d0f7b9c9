"""Does the number of queues cost anything?"""

from __future__ import annotations

from benchmarks import drain
from benchmarks.harness import Bench, in_turns
from benchmarks.rows import Row, ratio


def measure(bench: Bench) -> list[Row]:
    count, many = bench.size(200_000, 40_000), 1000
    mine, others = in_turns(
        lambda: drain.ours(bench, count, many), lambda: drain.ours(bench, count), bench.rounds, "jobs/s"
    )
    return [ratio("drain over 1,000 queues, against 3 queues", mine, others, 0.6, 0.9)]
