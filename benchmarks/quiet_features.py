"""What do timeouts, retries, progress and events cost the jobs that declare them and never need them?"""

from __future__ import annotations

from benchmarks import drain
from benchmarks.harness import Bench, in_turns
from benchmarks.rows import Row, ratio


def measure(bench: Bench) -> list[Row]:
    count = bench.size(200_000, 40_000)
    mine, others = in_turns(
        lambda: drain.ours(bench, count, application="quiet"), lambda: drain.ours(bench, count), bench.rounds, "jobs/s"
    )
    what = "drain with timeouts, retries, progress and events declared but quiet, against plain"
    return [ratio(what, mine, others, 0.9, 0.97)]
