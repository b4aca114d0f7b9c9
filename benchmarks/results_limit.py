"""How far are jobs whose results are all read from what the server alone could do, with no result and no reader?"""

from __future__ import annotations

from benchmarks import floors, results
from benchmarks.harness import Bench, in_turns
from benchmarks.rows import Row, told


def measure(bench: Bench) -> list[Row]:
    count = bench.size(100_000, 20_000)
    mine, others = in_turns(
        lambda: results.ours(bench, count), lambda: floors.claim_and_settle(bench, 2 * count), bench.rounds, "jobs/s"
    )
    return [told("drain with every result read, against the bare limit of the server", mine, others)]
