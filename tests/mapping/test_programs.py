"""Programs that map, and end in the middle of it: quietly, and with nothing left to run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mapping.app import tempotask
from mapping.conftest import Gate, Stats, wait_until_nothing_waits
from pool.running import LONG

Begin = Callable[[str], "subprocess.Popen[str]"]

HEAD = """
import os, sys
from mapping.app import echo, held, tempotask
gate = {gate!r}
"""


@pytest.fixture
def begin(tempotask_server: str, gate: Gate) -> Iterator[Begin]:
    """Starts a program whose jobs the pool runs, or holds at the gate."""
    begun: list[subprocess.Popen[str]] = []
    environment = {
        **os.environ,
        "MAPPING_DB": tempotask_server,
        "MAPPING_NAMESPACE": tempotask.namespace,
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }

    def begin(program: str) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        command = [sys.executable, "-c", HEAD.format(gate=gate.path) + program]
        begun.append(subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True))
        return begun[-1]

    yield begin
    for process in begun:
        process.kill()
        process.communicate()


def test_lines_of_standard_input_are_mapped_as_they_come(begin: Begin) -> None:
    process = begin("for line in echo.map(sys.stdin): print(line, end='', flush=True)")
    assert process.stdin
    assert process.stdout
    for line in ("one\n", "two\n"):
        process.stdin.write(line)
        process.stdin.flush()
        assert process.stdout.readline() == line
    assert process.communicate("three\n", timeout=LONG) == ("three\n", "")
    assert process.returncode == 0


ENDINGS = {
    "after a break": ("for line in echo.map(sys.stdin): break", 0, ""),
    "with the generator half-way": ("lines = echo.map(sys.stdin); next(lines)", 0, ""),
    "by an error": ("for line in echo.map(sys.stdin): raise SystemExit('enough')", 1, "enough\n"),
    "with the manager closed": ("lines = echo.map(sys.stdin); next(lines); tempotask.close()", 0, ""),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_program_ends_though_its_input_goes_on(begin: Begin, stats: Stats, ending: str) -> None:
    program, status, said = ENDINGS[ending]
    process = begin(program)
    assert process.stdin
    process.stdin.write("one\n")
    process.stdin.flush()
    assert process.wait(LONG) == status
    assert process.stderr
    assert process.stderr.read() == said
    wait_until_nothing_waits(stats, "q")


@pytest.mark.parametrize("inputs", ["[''] + [gate] * 5000", "(path for path in [''] + [gate] * 5000)"])
def test_ctrl_c_cancels_what_has_not_started(begin: Begin, stats: Stats, inputs: str) -> None:
    process = begin(f"for result in held.map({inputs}): print('one', flush=True)")
    assert process.stdout
    assert process.stdout.readline() == "one\n"
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=LONG)
    assert process.returncode == -signal.SIGINT
    assert said.endswith("KeyboardInterrupt\n")
    assert said.count("Traceback") == 1
    wait_until_nothing_waits(stats, "held")


def test_a_forked_child_leaves_its_parents_map_alone(begin: Begin) -> None:
    process = begin(
        """
results = echo.map(range(3000), in_flight=1000)
first = next(results)
if os.fork() == 0:
    results.close()
    sys.exit()
os.wait()
print(sum(results) + first)
"""
    )
    assert process.communicate(timeout=LONG) == (f"{sum(range(3000))}\n", "")
