"""Nothing that comes from the server, or from a user of it, is ever run as code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import tempotask

ROOT = Path(tempotask.__file__).parent
MODULES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "shelve", "marshal", "yaml", "code", "codeop", "pty"}
"""They turn bytes into code, or into objects by running code."""
CALLS = {"eval", "exec", "compile", "__import__"}
SHELLS = {"system", "popen", "getoutput", "getstatusoutput", "create_subprocess_shell"}
ASKED = "re"
"""The module whose own `compile` makes patterns."""
KNOWN = {
    ("arrays.py", "pickle"): "of an executor or of joblib, whose payloads are signed; and only with --allow-pickle",
    ("futures/calls.py", "pickle"): "the same",
    ("joblib_backend.py", "cloudpickle"): "the same",
    ("cli/map.py", "shell="): "the name of an option, by which a user gives a command",
    ("cli/mapping/view.py", "system"): "the processor's time",
}
"""Where something of that name is no danger, and why."""


def dangers(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The lines of a syntax tree that could run what they are given, each with what does."""
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Import):
            yield from ((line, name.name) for name in node.names if name.name.partition(".")[0] in MODULES)
        elif isinstance(node, ast.ImportFrom):
            if (node.module or "").partition(".")[0] in MODULES:
                yield line, str(node.module)
            yield from ((line, name.name) for name in node.names if name.name in SHELLS)
        elif isinstance(node, ast.Name) and node.id in CALLS:
            yield line, node.id
        elif isinstance(node, ast.Attribute):
            of = node.value.id if isinstance(node.value, ast.Name) else ""
            if node.attr in SHELLS or (node.attr in CALLS and of != ASKED):
                yield line, node.attr
        elif isinstance(node, ast.keyword) and node.arg == "shell":
            yield node.value.lineno, "shell="


def test_there_is_no_eval_and_no_shell_in_the_package_and_no_pickle_but_signed_ones() -> None:
    found = {
        (str(path.relative_to(ROOT)), what)
        for path in sorted(ROOT.rglob("*.py"))
        for _, what in dangers(ast.parse(path.read_text()))
    }
    assert found == set(KNOWN)


@pytest.mark.parametrize(
    "code",
    [
        *("import pickle", "from marshal import loads", "import yaml.loader", "from os import system"),
        *("eval('1')", "x = exec", "builtins.eval(x)", "__import__('a')", "compile(a, b, c)"),
        *("os.system(x)", "os.popen(x)", "subprocess.run(x, shell=True)", "subprocess.getoutput(x)"),
    ],
)
def test_each_of_them_would_be_seen(code: str) -> None:
    assert list(dangers(ast.parse(code)))


def test_what_makes_patterns_is_no_danger() -> None:
    assert not list(dangers(ast.parse("re.compile(x)")))
