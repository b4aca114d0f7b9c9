"""The page names the same tests of CPython as the script that runs them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

HERE = Path(__file__).parent


def test_the_page_says_which_tests_of_cpython_are_left_out_and_why() -> None:
    # Not imported: CPython's tests may not be here.
    assigned = {
        node.targets[0].id: node.value
        for node in ast.parse((HERE / "cpython.py").read_text()).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    page = (HERE.parents[1] / "docs" / "executor.md").read_text()
    rows = dict(re.findall(r"^\| `(test_\w+)` \| (.+) \|$", page, re.MULTILINE))
    assert rows == ast.literal_eval(assigned["NOT_APPLIED"])
