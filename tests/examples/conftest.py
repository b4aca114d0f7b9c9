"""The examples, each copied into a folder of the test's own, where it makes its data and starts its server."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
BIN = Path(sys.executable).parent
SLOW = 200.0
"""Seconds that no command of an example takes, on however busy a machine."""


@pytest.fixture
def copied(short_path: Path) -> Callable[[str], Path]:
    """Copies an example; the folder that it is in then."""
    return lambda name: Path(shutil.copytree(EXAMPLES / name, short_path / name))


@pytest.fixture
def reader_environment() -> dict[str, str]:
    """A reader's: the commands are on the PATH, and no server is named."""
    # A web server may leave a socket in what it takes for home.
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}


class Shell:
    """Runs commands in a folder."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment

    def start(self, folder: Path, *command: str) -> subprocess.Popen[str]:
        """Starts a command, in a process group of its own, whose output is read line by line; what it logs is
        dropped."""
        return subprocess.Popen(
            command, cwd=folder, env=self._environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, process_group=0,
        )  # fmt: skip

    def run(self, folder: Path, *command: str, status: int = 0) -> list[str]:
        """The lines that a command prints; it must end with this status."""
        ended = subprocess.run(
            command, cwd=folder, env=self._environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=SLOW, check=False,
        )  # fmt: skip
        assert ended.returncode == status, f"{command} ended with {ended.returncode}:\n{ended.stdout}{ended.stderr}"
        return ended.stdout.splitlines()


@pytest.fixture
def shell(reader_environment: dict[str, str]) -> Shell:
    return Shell(reader_environment)
