"""A bench of the test's own, on the tests' server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pool.running import Bench


@pytest.fixture
def bench(tmp_path: Path, server_url: str, namespace: str) -> Iterator[Bench]:
    bench = Bench(tmp_path, server_url, namespace)
    yield bench
    bench.close()
