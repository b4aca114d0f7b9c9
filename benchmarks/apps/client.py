"""A client process whose growth is measured: for each line that it reads it does one round of its kind, and answers.

Run as `python -m benchmarks.apps.client KIND URL NAMESPACE SIZE`.
"""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tempotask import Event, QueueManager


def jobs(size: int) -> Iterator[dict[str, object]]:
    return ({"name": "noop", "queue": "work", "data": number} for number in range(size))


@contextmanager
def results(url: str, namespace: str, size: int) -> Iterator[Callable[[], None]]:
    """Enqueues, and reads every result."""

    def do() -> None:
        got = manager.enqueue_many(jobs(size)).results(timeout=600)
        if got != list(range(size)):
            raise AssertionError(f"{size} results are not what they must be")

    with QueueManager.init(url, namespace=namespace) as manager:
        yield do


@contextmanager
def events(url: str, namespace: str, size: int) -> Iterator[Callable[[], None]]:
    """Enqueues, and hears of every job that it has completed."""
    heard = threading.Semaphore(0)

    def hear(event: Event) -> None:
        heard.release()

    def do() -> None:
        manager.enqueue_many(jobs(size))
        for _ in range(size):
            if not heard.acquire(timeout=120):
                raise AssertionError("an event is missing")

    with QueueManager.init(url, namespace=namespace) as manager:
        listening = manager.on("completed", hear)
        yield do
        listening.close()


@contextmanager
def managers(url: str, namespace: str, size: int) -> Iterator[Callable[[], None]]:
    """Opens so many managers, one after the other, waits for a result with each, and closes it."""

    def do() -> None:
        for number in range(size):
            with QueueManager.init(url, namespace=namespace) as manager:
                if manager.enqueue(name="noop", queue="work", data=number).result(timeout=60) != number:
                    raise AssertionError("a result is not what it must be")

    yield do


KINDS = {"results": results, "events": events, "managers": managers}


def main(kind: str, url: str, namespace: str, size: str) -> None:
    with KINDS[kind](url, namespace, int(size)) as do:
        for _ in sys.stdin:
            do()
            # The client library leaves the buffer of each connection that was closed to the collector.
            gc.collect()
            print("done", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
