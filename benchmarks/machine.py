"""On what the figures were measured: the first part of every file of results."""

from __future__ import annotations

import contextlib
import importlib.metadata
import multiprocessing
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


def share(seconds: float = 0.3) -> float:
    """How much they get of the cores that our workers may have, when they want nothing else: less than 1 when others
    are at work on this machine."""
    cores = min(WORKERS, len(os.sched_getaffinity(0)))
    with multiprocessing.get_context("fork").Pool(cores) as workers:
        return sum(workers.map(_burn, [seconds] * cores, chunksize=1)) / cores


def _burn(seconds: float) -> float:
    """The part of that time for which this process had a core."""
    began, used = time.monotonic(), time.process_time()
    while (passed := time.monotonic() - began) < seconds:
        pass
    return (time.process_time() - used) / passed


def _processor() -> str:
    """As Linux names it; empty where it does not."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(": ")[2]
    return ""
