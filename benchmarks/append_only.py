"""What does an append-only file cost that is synced every second, against a server that keeps nothing?

A job is written twice, when it is enqueued and when it is settled, and only the second is timed. The file is rewritten
meanwhile when the server sees fit, as it would be anywhere.
"""

from __future__ import annotations

from benchmarks import drain
from benchmarks.harness import Bench, in_turns
from benchmarks.rows import Row, ratio


def kept(bench: Bench, count: int) -> float:
    """Jobs a second, on a server with an append-only file."""
    with bench.durable("everysec"):
        return drain.ours(bench, count)


def measure(bench: Bench) -> list[Row]:
    count = bench.size(200_000, 40_000)
    mine, others = in_turns(lambda: kept(bench, count), lambda: drain.ours(bench, count), bench.rounds, "jobs/s")
    return [ratio("drain with an append-only file, everysec, against none", mine, others, 0.75, 0.9)]
