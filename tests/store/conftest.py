"""A store of the test's own, on the tests' server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tempotask.store.connect import Server
from tempotask.store.store import Store

pytest.register_assert_rewrite(
    *("model", "operated", "mirror", "seen", "play", "rules", "worker"),
    *("stage", "producers", "hands", "supervisors", "operators", "machine"),
)


@pytest.fixture
def store(server_url: str, namespace: str) -> Iterator[Store]:
    store = Store(Server(server_url), namespace)
    yield store
    store.close()
