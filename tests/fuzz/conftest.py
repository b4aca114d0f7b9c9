"""A store of the test's own, and supervisors on its namespace."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pool.running import Bench

from tempotask.store.connect import Server
from tempotask.store.store import Store

pytest.register_assert_rewrite("fuzz.hostile")


@pytest.fixture
def store(server_url: str, namespace: str) -> Iterator[Store]:
    store = Store(Server(server_url), namespace)
    yield store
    store.close()


@pytest.fixture
def admin(admin_url: str, namespace: str) -> Iterator[Store]:
    """The same for a user who may do everything: take what the namespace holds as it is, and put it back."""
    store = Store(Server(admin_url), namespace)
    yield store
    store.close()


@pytest.fixture
def bench(tmp_path: Path, server_url: str, namespace: str) -> Iterator[Bench]:
    bench = Bench(tmp_path, server_url, namespace)
    yield bench
    bench.close()
