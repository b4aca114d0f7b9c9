"""A worker whose supervisor is the test."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator

import pytest
from pool.watched import Watched


@pytest.fixture
def watched() -> Iterator[Watched]:
    made = Watched()
    yield made
    with contextlib.suppress(ProcessLookupError):
        os.killpg(made.process.pid, signal.SIGKILL)
    made.process.communicate()
    made.worker.close()
