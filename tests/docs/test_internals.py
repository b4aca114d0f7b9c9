"""The table of where things are names every file of the package, and is in order."""

from __future__ import annotations

from pathlib import Path

import pytest

from tempotask.cli.main import cli

ROOT = Path(__file__).parents[2]
TABLE = (ROOT / "docs" / "internals.md").read_text().partition("## Where is what")[2]
FILES = [
    file.relative_to(ROOT)
    for kind in ("py", "lua")
    for file in sorted((ROOT / "tempotask").rglob(f"*.{kind}"))
    if not file.name.startswith("__")
]
COMMANDS = {Path("tempotask/cli", f"{name.replace('-', '_')}.py") for name in cli.commands}
"""They have one row: `tempotask/cli/<command>.py`."""


@pytest.mark.parametrize("file", FILES, ids=str)
def test_a_file_of_the_package_is_in_the_table(file: Path) -> None:
    assert file in COMMANDS or any(f"`{name}`" in TABLE for name in (file, file.name))


def test_the_words_of_the_table_are_in_order() -> None:
    words = [row.split("|")[1].strip().replace("`", "").lower() for row in TABLE.splitlines() if row.startswith("| ")]
    assert words[1:] == sorted(words[1:])
