"""The example with logs: killed with -9 in the middle, again and again, and in the end each file is there once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from examples.conftest import EXAMPLES, Shell


@pytest.fixture
def crunch(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The example's file, imported here."""
    monkeypatch.syspath_prepend(EXAMPLES / "logs")
    import crunch

    return crunch


@pytest.mark.slow
def test_a_map_that_is_killed_three_times_ends_with_each_log_once_and_keeps_what_was_written(
    crunch: Any, copied: Callable[[str], Path], shell: Shell
) -> None:
    folder = copied("logs")
    shell.run(folder, "python", "make_logs.py")
    days = sorted(str(path.relative_to(folder)) for path in folder.glob("days/*"))
    rows = folder / "rows.jsonl"
    whole = b""
    for _ in range(3):
        (told,) = shell.run(folder, "python", "kill_half_way.py")
        assert told.startswith("killed, with ")
        # A last row that is torn is cut off by the next.
        kept = rows.read_bytes().rpartition(b"\n")[0]
        assert kept.startswith(whole)
        assert kept.count(b"\n") > whole.count(b"\n")
        whole = kept

    shell.run(folder, "sh", "-c", "ls days/* | tempotask map crunch:summary --resume -o rows.jsonl")
    assert rows.read_bytes().startswith(whole)
    found = [json.loads(row) for row in rows.read_text().splitlines()]
    assert sorted(row["index"] for row in found) == list(range(len(days)))
    assert {row["input"]: row["result"] for row in found} == {day: crunch.summary(str(folder / day)) for day in days}
