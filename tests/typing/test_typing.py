"""Users' programs as type checkers see them: right ones pass, and every mistake in wrong ones is found."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).parent / "programs"
ROOT = Path(__file__).parents[2]
Places = set[tuple[str, int]]


def mypy() -> Places:
    """The lines of which mypy complains, as (program, line)."""
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", str(PROGRAMS)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert run.returncode in (0, 1), run.stdout + run.stderr
    found = re.findall(r"([^/\n]+\.py):(\d+): error: ", run.stdout)
    return {(name, int(line)) for name, line in found}


def basedpyright() -> Places:
    """The lines of which basedpyright complains, as (program, line); its remarks on style are not errors."""
    command = [sys.executable, "-m", "basedpyright", "--outputjson", "--level", "error"]
    command += ["--pythonpath", sys.executable, str(PROGRAMS)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    found = json.loads(run.stdout)["generalDiagnostics"]
    return {(Path(one["file"]).name, one["range"]["start"]["line"] + 1) for one in found if one["severity"] == "error"}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("check", [mypy, basedpyright])
def test_type_checkers_find_the_mistakes_and_nothing_else(check: Callable[[], Places]) -> None:
    lines = (PROGRAMS / "wrong.py").read_text().splitlines()
    mistakes = {("wrong.py", number) for number, line in enumerate(lines, 1) if line.endswith("# wrong")}
    assert mistakes
    assert check() == mistakes
