"""A bench on a server of the test's own, which may be killed, emptied and restarted; hosts that can't be had here."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pool.running import Bench
from torture.fault import NotHere


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Iterator[None]:
    """A test whose host can't be had on this machine says so."""
    try:
        yield
    except NotHere as error:
        pytest.skip(str(error))


@pytest.fixture
def folder() -> Iterator[Path]:
    """A place for what a torture makes."""
    with tempfile.TemporaryDirectory(prefix="torture-") as name:
        (Path(name) / "tmp").mkdir()
        yield Path(name)


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
