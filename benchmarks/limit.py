"""How far are we from what the server alone could do: claim and settle in Lua, no Python handler, no guarantees?"""

from __future__ import annotations

from benchmarks import drain, floors
from benchmarks.harness import Bench, in_turns
from benchmarks.rows import Row, ratio


def measure(bench: Bench) -> list[Row]:
    count = bench.size(200_000, 40_000)
    mine, others = in_turns(
        lambda: drain.ours(bench, count), lambda: floors.claim_and_settle(bench, count), bench.rounds, "jobs/s"
    )
    return [ratio("drain of no-op jobs, against the bare limit of the server", mine, others, 0.2, 0.4)]
