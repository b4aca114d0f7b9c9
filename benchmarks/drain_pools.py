"""How fast are no-op jobs drained, against pools in memory: one job a call, and in chunks of the best size?"""

from __future__ import annotations

from benchmarks import drain
from benchmarks.harness import Bench, in_turns
from benchmarks.peers.pools import ONE, POOLS, Pool
from benchmarks.rows import Row, told


def best(pool: Pool, count: int) -> str:
    """The size of chunks with which this pool is fastest here."""
    return max(pool.sizes, key=lambda size: pool.drain(size, count))


def against(bench: Bench, pool: Pool) -> list[Row]:
    version = pool.install()
    one = bench.size(pool.jobs, pool.jobs // 5)
    many = one * pool.times
    size = best(pool, many)
    what = f"drain of no-op jobs, against {pool.name} {version}"
    return [
        turns(bench, pool, f"{what} (one job a call)", ONE, one),
        turns(bench, pool, f"{what} (chunks of {size})", size, many),
    ]


def turns(bench: Bench, pool: Pool, what: str, size: str, count: int) -> Row:
    mine, others = in_turns(
        lambda: drain.ours(bench, bench.size(200_000, 40_000)),
        lambda: pool.drain(size, count),
        bench.rounds,
        "jobs/s",
    )
    return told(what, mine, others)


def measure(bench: Bench) -> list[Row]:
    return bench.for_each_peer(POOLS, lambda pool: against(bench, pool))
