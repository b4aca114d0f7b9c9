"""The application: how complex a Python file is, and how well it compresses.

Run its jobs with: tempotask-supervisor examples.stdlib_report.app:tempotask
"""

from __future__ import annotations

import ast
import os
import sysconfig
import warnings
import zlib
from pathlib import Path
from typing import Any

import msgspec

from tempotask import Context, Job, QueueManager

LIBRARY = Path(sysconfig.get_path("stdlib"))
NOT_OURS = {"site-packages", "dist-packages", "__pycache__"}
SIZES = {"small": 8 * 1024, "medium": 32 * 1024, "large": 1 << 40}
"""The queues, and up to how many bytes a file goes to each."""
BRANCHES = (ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.comprehension, ast.match_case)

tempotask = QueueManager.init(namespace="stdlib-report")


class Source(msgspec.Struct, frozen=True):
    """A file of the standard library, by its path in it."""

    path: str


class Report(msgspec.Struct, frozen=True):
    """What is found out about one file."""

    path: str
    size: int
    """Bytes."""
    lines: int
    complexity: int
    """Of its most branched function, after McCabe; 0 for a file that does not parse."""
    compressed: int
    """Bytes, at the best of zlib's levels."""


class Done(msgspec.Struct, frozen=True):
    """A report, and the process that made it."""

    report: Report
    worker: int


def sources() -> list[Source]:
    """Every file of the standard library, in a fixed order."""
    paths = sorted(path.relative_to(LIBRARY) for path in LIBRARY.rglob("*.py"))
    return [Source(str(path)) for path in paths if not NOT_OURS & set(path.parts)]


def queue_of(source: Source) -> str:
    """Small files do not wait behind large ones: each size has its queue."""
    size = (LIBRARY / source.path).stat().st_size
    return next(queue for queue, limit in SIZES.items() if size <= limit)


def measure(source: Source) -> Report:
    """The work itself: some milliseconds of one core, for any kind of runner."""
    content = (LIBRARY / source.path).read_bytes()
    compressed = min(len(zlib.compress(content, level)) for level in range(1, 10))
    return Report(source.path, len(content), content.count(b"\n"), _complexity(content), compressed)


def _complexity(content: bytes) -> int:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(content)
    except (SyntaxError, ValueError):
        # The library's own tests hold files that are broken on purpose.
        return 0
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return max((_branches(function) for function in functions), default=1)


def _branches(function: ast.AST) -> int:
    nodes = list(ast.walk(function))
    short_cuts = sum(len(node.values) - 1 for node in nodes if isinstance(node, ast.BoolOp))
    return 1 + short_cuts + sum(isinstance(node, BRANCHES) for node in nodes)


def report(job: Job[Source], ctx: Context[Any]) -> Done:
    return Done(measure(job.data), os.getpid())


for queue in SIZES:
    # In the chaotic form of the demo every worker is killed many times, and no job is to blame for it.
    tempotask.register_job(name="report", queue=queue, handler=report, options={"max_crashes": 1000})
