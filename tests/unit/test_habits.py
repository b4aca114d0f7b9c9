"""What CONTRIBUTING.md says of the length of functions and files."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import tempotask

ROOT = Path(tempotask.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
LONGEST = 50
LONG = {"run_batch", "_addition"}
"""Where one call more for each job would be felt."""
LARGEST = 450
SCRIPTS = sorted(ROOT.rglob("*.lua"))


def named(file: Path) -> str:
    return str(file.relative_to(ROOT))


@pytest.mark.parametrize("file", FILES, ids=named)
def test_no_function_must_be_scrolled(file: Path) -> None:
    long = {
        node.name: node.end_lineno - node.lineno + 1
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None
    }
    assert {name: lines for name, lines in long.items() if lines > LONGEST and name not in LONG} == {}


@pytest.mark.parametrize("file", [*FILES, *SCRIPTS], ids=named)
def test_no_file_is_too_large_for_one_noun(file: Path) -> None:
    assert len(file.read_text().splitlines()) <= LARGEST
