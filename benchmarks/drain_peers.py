"""How fast are no-op jobs drained, against other job queues, each at its fastest setting?"""

from __future__ import annotations

from benchmarks import drain
from benchmarks.harness import Bench, in_turns
from benchmarks.peers.peer import Peer
from benchmarks.peers.queues import PEERS
from benchmarks.rows import Row, ratio, told

BOUNDS = {"huey": (30.0, 60.0), "bullmq": (11.0, 22.0)}
"""At least, and the aim; the others are only told."""


def fastest(bench: Bench, peer: Peer, count: int) -> str:
    """The setting with which this peer is fastest here."""
    return max(peer.settings, key=lambda setting: peer.drain(bench, setting, count))


def against(bench: Bench, peer: Peer) -> Row:
    version = peer.install()
    count = bench.size(peer.jobs, peer.jobs // 5)
    setting = fastest(bench, peer, count)
    mine, others = in_turns(
        lambda: drain.ours(bench, bench.size(200_000, 40_000)),
        lambda: peer.drain(bench, setting, count),
        bench.rounds,
        "jobs/s",
    )
    what = f"drain of no-op jobs, against {peer.name} {version} ({setting})"
    if peer.name in BOUNDS:
        return ratio(what, mine, others, *BOUNDS[peer.name])
    return told(what, mine, others)


def measure(bench: Bench) -> list[Row]:
    return bench.for_each_peer(PEERS, lambda peer: [against(bench, peer)])
