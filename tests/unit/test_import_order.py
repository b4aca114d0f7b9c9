"""Imports go down: what a file imports, anywhere in it, is of its own layer or of one below."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import tempotask

ROOT = Path(tempotask.__file__).parent
LAYERS = (
    ("__main__", "cli", "top", "pytest_plugin"),
    ("inline",),
    (
        "manager",
        "client",
        "declaration",
        "events",
        "futures",
        "joblib_backend",
        "jobs",
        "launch",
        "launched",
        "producer",
    ),
    ("pool",),
    (
        "task",
        "annotations",
        "job",
        "handle",
        "completion",
        "mapping",
        "children",
        "info",
        "options",
        "payload",
        "retry",
    ),
    ("store",),
    (
        "repeat",
        "names",
        "durations",
        "arrays",
        "shelf",
        "machine",
        "linux",
        "pauses",
        "interpreter",
        "process",
        "twins",
    ),
    ("errors",),
)
"""From the top. CONTRIBUTING.md says what they are for."""
UP = {
    ("manager", "inline"): "`init(inline=True)` makes the manager that runs jobs at once",
}
"""Imports that go up, and why."""
DEPTH = {name: depth for depth, names in enumerate(LAYERS) for name in names}


def parts() -> Iterator[tuple[str, Path]]:
    """All files, with the part of the package that they are in."""
    for path in sorted(ROOT.rglob("*.py")):
        part = path.relative_to(ROOT).with_suffix("").parts[0]
        # What the package itself offers, it imports when it is asked for.
        if part != "__init__":
            yield part, path


def imported(path: Path) -> Iterator[tuple[str, int]]:
    """The parts that a file imports, for more than type checkers, with the line."""
    tree = ast.parse(path.read_text())
    # What runs never imports these.
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            assert not node.level, f"{path}:{node.lineno}: a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            package, _, rest = name.partition(".")
            if package == "tempotask":
                yield rest.partition(".")[0], node.lineno


def test_every_file_is_in_a_layer() -> None:
    assert {part for part, _ in parts()} == set(DEPTH)


def test_imports_go_down() -> None:
    up = {
        (part, other): f"{path.relative_to(ROOT)}:{line}"
        for part, path in parts()
        for other, line in imported(path)
        if DEPTH[other] < DEPTH[part]
    }
    assert {pair: where for pair, where in up.items() if pair not in UP} == {}
    assert up.keys() == UP.keys()
