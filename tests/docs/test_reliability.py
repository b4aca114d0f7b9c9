"""Each row of what the server keeps names tests that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reliability.md").read_text()
TESTS = re.findall(r"^def (test_\w+)", (ROOT / "tests" / "faults" / "test_persistence.py").read_text(), re.MULTILINE)
ROWS = re.findall(r"^\| (.*) \| (`….*`) \|$", PAGE.partition("## What a call waits for")[0], re.MULTILINE)


def test_every_setting_of_the_server_has_a_row() -> None:
    assert len(ROWS) == 5


@pytest.mark.parametrize(("row", "shown"), ROWS)
def test_a_row_is_shown_by_tests_that_exist(row: str, shown: str) -> None:
    parts = re.findall(r"`(…?)(\w+)(…?)`", shown)
    assert parts
    for before, part, behind in parts:
        name = f"{'.*' if before else ''}{part}{'.*' if behind else ''}"
        assert any(re.fullmatch(name, test) for test in TESTS), f"{row}: no test is called so: {part}"
