"""How fast does `TempoExecutor.map` get functions called that do nothing, one call a job, against
`ProcessPoolExecutor.map` at the same?

Both are handed their calls while they work, both give the results in order, and neither has to be started first. The
server is that of all benchmarks, which keeps nothing on the disk.
"""

from __future__ import annotations

from benchmarks.harness import WORKERS, Bench, in_turns
from benchmarks.results_pool import executor, mapped
from benchmarks.rows import Row, ratio
from tempotask.futures import TempoExecutor


def ours(bench: Bench, count: int, *, pickle: bool) -> float:
    """Calls a second."""
    with TempoExecutor(WORKERS, db=bench.url, pickle=pickle) as workers:
        return mapped(workers, count)


def measure(bench: Bench) -> list[Row]:
    count, few = bench.size(100_000, 20_000), bench.size(20_000, 4_000)
    rows = []
    for what, pickle in (("TempoExecutor.map(chunksize=1) of a no-op", False), ("the same with pickle=True", True)):
        mine, others = in_turns(
            lambda pickle=pickle: ours(bench, count, pickle=pickle),  # type: ignore[misc]
            lambda: executor(few),
            bench.rounds,
            "calls/s",
        )
        rows.append(ratio(f"{what}, against ProcessPoolExecutor", mine, others, 2, 5))
    return rows
