"""A bench on a server of the test's own, which may be killed, emptied and restarted."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pool.running import Bench


@pytest.fixture
def make_bench(tmp_path: Path) -> Iterator[Callable[[str], Bench]]:
    """Makes a bench on the server with that URL."""
    made: list[Bench] = []

    def make(url: str) -> Bench:
        made.append(Bench(tmp_path, url, f"t-{uuid.uuid4().hex[:12]}"))
        return made[-1]

    yield make
    for bench in made:
        bench.close()
