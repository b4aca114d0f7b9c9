"""The peers that keep their jobs on the server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import redis

from benchmarks.harness import WORKERS
from benchmarks.peers.environment import Environment
from benchmarks.peers.peer import Peer

PYTHON = "{bin}/python"
BULLMQ = ("node", "with_bullmq.cjs")


def _huey(workers: int) -> tuple[tuple[str, ...], ...]:
    return (("{bin}/huey_consumer", "with_huey.huey", "-w", str(workers), "-k", "process", "-q"),)


def _celery(workers: int) -> tuple[tuple[str, ...], ...]:
    quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "WARNING")
    return (("{bin}/celery", "-A", "with_celery", "worker", "-c", str(workers), *quiet),)


def _rq(workers: int) -> tuple[tuple[str, ...], ...]:
    how = ("-w", "rq.worker.SimpleWorker", "-u", "{url}", "-q", "-P", ".")
    return (("{bin}/rq", "worker-pool", "-n", str(workers), *how, "bench"),)


def _dramatiq(workers: int) -> tuple[tuple[str, ...], ...]:
    return (("{bin}/dramatiq", "with_dramatiq", "--processes", str(workers)),)


def _saq(workers: int) -> tuple[tuple[str, ...], ...]:
    return (("{bin}/saq", "with_saq.settings", "--workers", str(workers), "--quiet"),)


def _taskiq(workers: int) -> tuple[tuple[str, ...], ...]:
    how = ("--ack-type", "when_received", "--log-level", "WARNING", "--max-async-tasks", "1000")
    return (("{bin}/taskiq", "worker", "with_taskiq:broker", "--workers", str(workers), *how),)


def _bullmq(workers: int) -> tuple[tuple[str, ...], ...]:
    return ((*BULLMQ, "work"),) * workers


def _peer(
    name: str,
    packages: tuple[str, ...],
    work: Callable[[int], tuple[tuple[str, ...], ...]],
    waiting: Callable[[redis.Redis], Any],
    jobs: int,
    *,
    add: tuple[str, ...] = (),
    node: bool = False,
) -> Peer:
    settings = {f"{workers} process{'es' * (workers > 1)}": work(workers) for workers in (WORKERS, 1)}
    environment = Environment(name, packages, node)
    return Peer(environment, add or (PYTHON, "add.py", f"with_{name}"), settings, waiting, jobs)


PEERS = {
    peer.name: peer
    for peer in (
        _peer("huey", ("huey", "redis", "hiredis"), _huey, lambda server: server.llen("huey.redis.bench"), 20_000),
        _peer("celery", ("celery[redis]", "hiredis"), _celery, lambda server: server.llen("celery"), 10_000),
        _peer("rq", ("rq", "hiredis"), _rq, lambda server: server.llen("rq:queue:bench"), 5_000),
        _peer(
            "dramatiq",
            ("dramatiq[redis]", "hiredis"),
            _dramatiq,
            lambda server: server.llen("dramatiq:default"),
            10_000,
        ),
        _peer(
            "saq",
            ("saq[redis,hiredis]", "typing_extensions"),
            _saq,
            lambda server: server.llen("saq:bench:queued"),
            5_000,
        ),
        _peer("taskiq", ("taskiq", "taskiq-redis", "hiredis"), _taskiq, lambda server: server.llen("bench"), 20_000),
        _peer(
            "bullmq",
            ("bullmq", "ioredis"),
            _bullmq,
            lambda server: server.llen("bull:bench:wait"),
            60_000,
            add=(*BULLMQ, "add"),
            node=True,
        ),
    )
}
