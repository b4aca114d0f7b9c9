"""How fast are jobs added, in bulk against BullMQ's `addBulk`, one at a time against Huey?"""

from __future__ import annotations

from benchmarks import bulk_enqueue, single_enqueue
from benchmarks.harness import Bench, in_turns
from benchmarks.peers.peer import Peer
from benchmarks.peers.queues import PEERS
from benchmarks.rows import Row, ratio


def added(bench: Bench, peer: Peer, count: int) -> float:
    """Jobs a second that a peer adds."""
    seconds = peer.enqueue(bench, count)
    bench.empty()
    return count / seconds


def against(bench: Bench, peer: Peer) -> list[Row]:
    version, count = peer.install(), bench.size(20_000, 4_000)
    if peer.name == "huey":
        mine, others = in_turns(
            lambda: single_enqueue.ours(bench, count), lambda: added(bench, peer, count), bench.rounds, "jobs/s"
        )
        return [ratio(f"enqueue, one at a time, against Huey {version}", mine, others, 1.0, 1.3)]
    mine, others = in_turns(
        lambda: bulk_enqueue.ours(bench, 10 * count), lambda: added(bench, peer, count), bench.rounds, "jobs/s"
    )
    return [ratio(f"enqueue_many, against addBulk of BullMQ {version}", mine, others, 12, 20)]


def measure(bench: Bench) -> list[Row]:
    return bench.for_each_peer({name: PEERS[name] for name in ("huey", "bullmq")}, lambda peer: against(bench, peer))
