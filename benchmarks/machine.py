"""On what the figures were measured: the first part of every file of results."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

from benchmarks.harness import ROOT, WORKERS, Bench

LIBRARIES = ("redis", "hiredis", "msgspec")
"""Python packages whose version tells in the figures."""


def machine(bench: Bench) -> dict[str, Any]:
    """The machine, what is installed on it, and how the benchmarks are set."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "server": bench.version,
        "python": platform.python_version(),
        "libraries": ", ".join(f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES),
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "commit": commit.stdout.strip(),
        "workers": WORKERS,
        "rounds": bench.rounds,
        "quick": bench.quick,
    }


def _processor() -> str:
    """As Linux names it; empty where it does not."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(": ")[2]
    return ""
