"""What maps call, and the same for others: `python -m benchmarks.apps.mapped FILE…` prints a row for each file."""

from __future__ import annotations

import ast
import collections
import hashlib
import io
import json
import os
import sys
import tokenize
from pathlib import Path

LEDGER = os.environ.get("BENCHMARK_LEDGER")
"""A file in which `entered` notes what it is called with."""
_ledger = os.open(LEDGER, os.O_WRONLY | os.O_APPEND | os.O_CREAT) if LEDGER else -1


def analysed(path: str) -> list[object]:
    """Takes a source file to pieces: its tokens, its branches, how it compiles, and a hash of it as it is written anew.
    There are files among the tests of the library that are wrong on purpose."""
    source = Path(path).read_bytes()
    try:
        tree = ast.parse(source)
        tokens = sum(1 for _ in tokenize.tokenize(io.BytesIO(source).readline))
    except (SyntaxError, ValueError, tokenize.TokenError) as error:
        return [type(error).__name__]
    nodes = collections.Counter(type(node).__name__ for node in ast.walk(tree))
    branches = sum(nodes[name] for name in ("If", "For", "While", "Try", "BoolOp"))
    size = sum(len(compile(tree, path, "exec", optimize=level).co_code) for level in (0, 1, 2))
    return [tokens, branches, size, hashlib.sha256(ast.unparse(tree).encode(errors="replace")).hexdigest()]


def same(line: str) -> str:
    """Nothing."""
    return line


def entered(line: str) -> str:
    """Notes that it was called, in one write."""
    os.write(_ledger, f"{line}\n".encode())
    return line


if __name__ == "__main__":
    for path in sys.argv[1:]:
        print(json.dumps([path, analysed(path)]), flush=True)
