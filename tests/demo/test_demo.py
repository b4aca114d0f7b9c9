"""The demo, as a newcomer runs it but for the number of files, with a server of its own in the test's folder."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SLOW = 200.0
"""Seconds that no run of the demo takes: it does all twice, on however busy a machine."""
pytestmark = pytest.mark.timeout(3 * SLOW)


def start(folder: Path, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "examples.stdlib_report.demo", *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(folder: Path, *options: str) -> str:
    process = start(folder, *options)
    told, _ = process.communicate(timeout=SLOW)
    assert process.returncode == 0, told
    return told


def checksums(told: str) -> tuple[str, str]:
    found = re.search(r"([0-9a-f]{16}); one process: ([0-9a-f]{16})", told)
    assert found, told
    return found[1], found[2]


def test_the_demo_says_the_same_as_one_process_each_time_it_is_run(short_path: Path) -> None:
    first, second = run(short_path, "--files", "40"), run(short_path, "--files", "40")
    assert len({*checksums(first), *checksums(second)}) == 1
    assert "all is right" in first
    assert "all is right" in second


@pytest.mark.slow
def test_the_demo_says_the_same_when_everything_is_killed(short_path: Path) -> None:
    told = run(short_path, "--chaos", "--files", "600")
    ours, alone = checksums(told)
    assert ours == alone
    assert "all is right" in told
    assert re.search(r"killed with -9 .* [1-9]\d* workers, and 1 time the whole supervisor tree", told), told


def test_a_demo_that_was_interrupted_leaves_nothing_running_and_is_taken_up_by_the_next(short_path: Path) -> None:
    log = short_path / ".tempotask" / "demo.log"
    process = start(short_path, "--files", "200")
    end = time.monotonic() + SLOW
    while not (log.exists() and "ready" in log.read_text()):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    ours, alone = checksums(run(short_path, "--files", "40"))
    assert ours == alone


def test_a_wrong_option_is_answered_in_a_line(short_path: Path) -> None:
    process = start(short_path, "--files", "0")
    told, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "--files wants a number of 1 or more" in told
