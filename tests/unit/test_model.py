"""The model of the protocol (docs/protocol.md): the part of its search that takes seconds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]


def model(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, run to its end."""
    return subprocess.run(
        [sys.executable, "-m", "model", *arguments], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
    )  # fmt: skip


@pytest.mark.parametrize("scenario", ["delayed", "waiting", "waiting for what is not kept", "time limits", "adding"])
def test_a_small_world_breaks_no_invariant_whatever_happens_in_it(scenario: str) -> None:
    searched = model("--scenario", scenario)
    assert f"{scenario}: no violation" in searched.stdout
    assert searched.returncode == 0, searched.stderr


@pytest.mark.parametrize("rule", [7, 12, 13, 14])
def test_a_rule_that_is_left_out_breaks_something_and_the_moves_are_shown(rule: int) -> None:
    searched = model("--rule", str(rule), "--trace")
    assert f"rule {rule:>2} without" in searched.stdout
    assert "NOTHING goes wrong" not in searched.stdout
    assert "\n       1. " in searched.stdout
    assert searched.returncode == 0, searched.stderr


@pytest.mark.parametrize(("bad", "names"), [(("--rule", "17"), "1 to 16"), (("--scenario", "none"), "delayed")])
def test_what_the_model_does_not_know_is_refused_with_what_it_knows(bad: tuple[str, str], names: str) -> None:
    searched = model(*bad)
    assert searched.returncode == 2
    assert names in searched.stderr
