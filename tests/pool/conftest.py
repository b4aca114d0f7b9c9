"""A worker whose supervisor is the test, and owners of pools."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator

import pytest
from pool.owner import APPS, Owner
from pool.running import LONG
from pool.stage import Stage
from pool.watched import Watched

from tempotask.pool import control_block
from tempotask.pool.control_block import INTERRUPT_SIGNAL


@pytest.fixture(autouse=True)
def _patient_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A supervisor that could not stop a worker in time looks again; a test looks once."""
    monkeypatch.setattr(control_block, "_LONGEST_WAIT", LONG)


@pytest.fixture
def watched() -> Iterator[Watched]:
    made = Watched()
    yield made
    with contextlib.suppress(ProcessLookupError):
        os.killpg(made.process.pid, signal.SIGKILL)
    made.process.communicate()
    made.worker.close()


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Owner]]:
    """Makes owners, in the folder of the applications."""
    monkeypatch.chdir(APPS)
    owners: list[Owner] = []

    def make(application: str, environment: dict[str, str] | None = None) -> Owner:
        owners.append(Owner(application, environment))
        return owners[-1]

    yield make
    for owner in owners:
        owner.close()


@pytest.fixture
def stage(server_url: str, namespace: str) -> Iterator[Stage]:
    before = signal.getsignal(INTERRUPT_SIGNAL)
    stage = Stage(server_url, namespace)
    yield stage
    signal.signal(INTERRUPT_SIGNAL, before)
    if stage.runner is not None:
        stage.runner.loop.close()
    stage.manager.close()
