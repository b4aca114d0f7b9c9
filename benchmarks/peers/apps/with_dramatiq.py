"""Dramatiq: its default middleware without the one that measures for Prometheus."""

import os

import dramatiq
from dramatiq.brokers.redis import RedisBroker

broker = RedisBroker(url=f"unix://{os.environ['BENCHMARK_SOCKET']}")
dramatiq.set_broker(broker)


@dramatiq.actor
def noop(path: str) -> None:
    pass


def add(paths: list[str]) -> None:
    for path in paths:
        noop.send(path)
