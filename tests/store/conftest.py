"""What says more of an assertion that fails; a manager, who acts, a worker by hand, and what holds afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from store.by_hand import Hand

from tempotask import QueueManager
from tempotask.store.acting import Acting
from tempotask.store.check import check
from tempotask.store.store import Store

pytest.register_assert_rewrite(
    *("model", "operated", "mirror", "seen", "play", "rules", "worker"),
    *("stage", "producers", "hands", "supervisors", "operators", "machine"),
    *("store.scheduled", "store.acted", "store.finished", "store.embedding"),
)


@pytest.fixture
def manager(server_url: str, namespace: str) -> Iterator[QueueManager[Any]]:
    with QueueManager.init(server_url, namespace=namespace) as manager:
        yield manager


@pytest.fixture
def hand(manager: QueueManager[Any]) -> Hand:
    return Hand(manager._client.store)


@pytest.fixture
def home(short_path: Path) -> Path:
    """Of an embedded server."""
    return short_path / "home"


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody asks twice in this test: what is not told stays unknown."""
    monkeypatch.setattr("tempotask.store.wait.FIRST_PAUSE", 1000.0)


@pytest.fixture
def sound(store: Store) -> Iterator[None]:
    """Afterwards the invariants hold."""
    yield
    assert check(store) == []


@pytest.fixture
def acting(store: Store) -> Iterator[Acting]:
    """What acts on the jobs of the test's store; afterwards the invariants hold."""
    yield Acting(store, 200)
    assert check(store) == []
