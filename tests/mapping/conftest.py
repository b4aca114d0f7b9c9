"""A pool that maps, and gates at which its jobs wait."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mapping.app import tempotask
from pool.running import wait_until

from tempotask.pytest_plugin import StartPool
from tempotask.store.check import check


@pytest.fixture
def pool(tempotask_pool: StartPool) -> Iterator[None]:
    """Two workers; what they leave behind is as it is to be."""
    tempotask_pool(tempotask, concurrency=2)
    yield
    assert check(tempotask._client.store) == []


class Gate:
    """A FIFO: a job that opens it to read waits until it is open."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        os.mkfifo(self.path)
        self._open = -1

    def open(self) -> None:
        """For those who wait, and for all who come."""
        self._open = os.open(self.path, os.O_RDWR)

    def close(self) -> None:
        if self._open < 0:
            self.open()
        os.close(self._open)


@pytest.fixture
def gate(tmp_path: Path, pool: None) -> Iterator[Gate]:
    """Opened at the latest when the test is over, so that the pool can end."""
    gate = Gate(tmp_path / "gate")
    yield gate
    gate.close()


Stats = Callable[[str], dict[str, int]]


@pytest.fixture
def stats() -> Stats:
    """How many jobs of a queue there are, by status."""

    def of(queue: str) -> dict[str, int]:
        return next((dict(one.stats) for one in tempotask.get_sorted_jobs() if one.name == queue), {})

    return of


def wait_until_nothing_waits(stats: Stats, queue: str) -> None:
    """Also nobody for an outcome."""
    wait_until(lambda: not stats(queue).get("waiting"), f"jobs wait in {queue}")
    store = tempotask._client.store
    wait_until(lambda: not store.read("HLEN", "waiters"), "the server has it that somebody waits")
