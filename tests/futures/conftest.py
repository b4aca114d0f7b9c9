"""Executors on the tests' server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from pool.running import wait_until

from tempotask.futures import TempoExecutor

TESTS = Path(__file__).parents[1]


def ready(executor: TempoExecutor) -> TempoExecutor:
    """The executor with its pool started: what belongs to a whole module must not begin within one of its tests."""
    assert executor.submit(abs, -1).result(60) == 1
    return executor


@pytest.fixture(scope="module")
def executor(server_url: str) -> Iterator[TempoExecutor]:
    with TempoExecutor(2, db=server_url) as made:
        yield ready(made)


@pytest.fixture(scope="module")
def pickling(server_url: str) -> Iterator[TempoExecutor]:
    with TempoExecutor(2, db=server_url, pickle=True) as made:
        yield ready(made)


@pytest.fixture(autouse=True)
def _no_thread_left_behind() -> None:
    """In the place of the look for threads: the executors of a module start theirs when they need them."""


class Gate:
    """Calls that have begun and do not end until the gate is opened."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        os.mkfifo(folder / "gate")
        self._held = -1

    def arguments(self, name: str) -> tuple[str, str]:
        """For `errands.hold`."""
        return str(self.folder), name

    def wait_for(self, *names: str) -> None:
        wait_until(lambda: all((self.folder / f"begun-{name}").exists() for name in names), f"{names} did not begin")

    def open(self) -> None:
        """Lets all through, now and later."""
        self._held = os.open(self.folder / "gate", os.O_RDWR)

    def close(self) -> None:
        if self._held < 0:
            # A test that failed must not leave calls that wait for ever.
            self.open()
        os.close(self._held)


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    gate = Gate(tmp_path)
    yield gate
    gate.close()


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(server_url: str, tmp_path: Path) -> Run:
    """Runs a program to its end: a script, what stands after -c, or what comes on standard input; or a module, if one
    is named."""

    def run(
        program: str, *, by: str = "script", module: str = "", arguments: Sequence[str | bytes] = ()
    ) -> subprocess.CompletedProcess[str]:
        path = tmp_path / "program.py"
        path.write_text(program)
        how = {"script": [str(path)], "-c": ["-c", program], "-": ["-"], "-m": ["-m", module]}[by]
        return subprocess.run(
            [sys.executable, *how, *arguments],
            env={**os.environ, "TEMPOTASK_DB": server_url, "PYTHONPATH": os.pathsep.join((str(TESTS), str(tmp_path)))},
            input=program if by == "-" else "",
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run
