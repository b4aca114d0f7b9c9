"""A pool behind the door, and programs that come to it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from door.app import tempotask

from tempotask.pytest_plugin import StartPool

Environment = dict[str, str]
Run = Callable[[str], "list[list[str]]"]


@pytest.fixture
def environment(tempotask_pool: StartPool, tempotask_server: str) -> Environment:
    """That of a program whose jobs a pool runs; the test itself has the same application at hand."""
    tempotask_pool(tempotask, concurrency=1)
    return {
        **os.environ,
        "DOOR_DB": tempotask_server,
        "DOOR_NAMESPACE": tempotask.namespace,
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }


@pytest.fixture
def run(environment: Environment) -> Run:
    """Runs a program to its end, which must be a good and a quiet one; what it printed, in lines and words."""

    def run(program: str) -> list[list[str]]:
        ended = subprocess.run(
            [sys.executable, "-c", program],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        assert ended.stderr == ""
        return [line.split() for line in ended.stdout.splitlines()]

    return run
