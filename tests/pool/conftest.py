"""A bench of the test's own, on the tests' server."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from pool.running import Bench
from pool.watched import Watched


@pytest.fixture
def bench(tmp_path: Path, server_url: str, namespace: str) -> Iterator[Bench]:
    bench = Bench(tmp_path, server_url, namespace)
    yield bench
    bench.close()


@pytest.fixture
def watched() -> Iterator[Watched]:
    made = Watched()
    yield made
    with contextlib.suppress(ProcessLookupError):
        os.killpg(made.process.pid, signal.SIGKILL)
    made.process.communicate()
    made.worker.close()
