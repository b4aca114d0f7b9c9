"""The pytest plugin: a private server, and a real pool around a test.

pytest loads this file in every project that has TempoTask installed; so it imports nothing of it before a fixture is
used.
"""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from tempotask.manager import QueueManager

GOING = 30.0
"""Seconds that the private server may take to end."""
GRACE = 2.0
"""Seconds that a test's pool may take to finish what it runs when the test is over; then that is cut off."""


class StartPool(Protocol):
    """What the fixture `tempotask_pool` is."""

    def __call__(self, manager: QueueManager[Any], concurrency: int = 2) -> None:
        """Moves the manager to the private server, where it has a namespace of the test's own, and starts its pool.

        Returns when the workers are ready. After the test the pool is stopped, what it had not finished is let go, and
        the manager is back where it was.

        Raises:
            NotImportable: workers can't import the application: it must be in a module, not in the test function.
            InvalidOptions: the manager runs jobs inline.
        """


@pytest.fixture(scope="session")
def tempotask_server() -> Iterator[str]:
    """The URL of a server that is this test session's alone: an embedded one, in a temporary folder, gone afterwards.

    All tests of the session share it (with pytest-xdist, all of one process); give each a namespace of its own, as
    `tempotask_pool` does.
    """
    from tempotask.store.embedded import EmbeddedServer

    # Not pytest's own temporary folder: its path may be too long for a socket.
    home = Path(tempfile.mkdtemp(prefix="tempotask-"))
    try:
        server = EmbeddedServer.open(home)
        yield server.url
        server.close()
        _wait_until_gone(home)
    finally:
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def tempotask_pool(tempotask_server: str) -> Iterator[StartPool]:
    """A function that runs a real pool around this test: `tempotask_pool(manager, concurrency=2)`."""
    with contextlib.ExitStack() as pools:

        def start(manager: QueueManager[Any], concurrency: int = 2) -> None:
            pools.enter_context(_pool(manager, tempotask_server, concurrency))

        yield start


@contextlib.contextmanager
def _pool(manager: QueueManager[Any], url: str, concurrency: int) -> Iterator[None]:
    from tempotask.store import namespaces

    before = dict(vars(manager))
    manager.move(url, f"test-{uuid.uuid4().hex[:12]}")
    manager.concurrency = concurrency
    try:
        launch = manager._begin()
        try:
            launch.ready()
            yield
        finally:
            launch.stop(GRACE)
            # Other tests of the session share the server.
            store = manager._client.store
            namespaces.clear(store, store.namespace)
    finally:
        manager.close()
        vars(manager).clear()
        vars(manager).update(before)


def _wait_until_gone(home: Path) -> None:
    """The guardian holds this lock for as long as the server runs."""
    end = time.monotonic() + GOING
    with (home / "guardian.lock").open("rb") as lock:
        while time.monotonic() < end:
            try:
                return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(0.005)
    raise RuntimeError(f"the private server in {home} still runs: a process that a test started goes on using it")
