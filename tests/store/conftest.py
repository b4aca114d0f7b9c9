"""What says more of an assertion that fails; who waits for outcomes, and a worker played by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from store.by_hand import Hand

from tempotask import QueueManager

pytest.register_assert_rewrite(
    *("model", "operated", "mirror", "seen", "play", "rules", "worker"),
    *("stage", "producers", "hands", "supervisors", "operators", "machine"),
)


@pytest.fixture
def manager(server_url: str, namespace: str) -> Iterator[QueueManager[Any]]:
    with QueueManager.init(server_url, namespace=namespace) as manager:
        yield manager


@pytest.fixture
def hand(manager: QueueManager[Any]) -> Hand:
    return Hand(manager._client.store)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody asks twice in this test: what is not told stays unknown."""
    monkeypatch.setattr("tempotask.store.wait.FIRST_PAUSE", 1000.0)
