"""What the benchmarks of maps share: how a map and its rivals are started."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import ROOT, WORKERS, Bench, Failed

MAP = [str(Path(sys.executable).with_name("tempotask")), "map", "-j", str(WORKERS), "--quiet"]
"""The command, with two workers."""


def folder(bench: Bench) -> Path:
    """A new one, which goes with the bench."""
    return Path(tempfile.mkdtemp(dir=bench.folder))


def environment(bench: Bench, **more: str) -> dict[str, str]:
    """For a command whose functions are here, and which keeps its jobs on the bench's server."""
    return {**os.environ, "TEMPOTASK_DB": bench.url, "PYTHONPATH": str(ROOT), **more}


def seconds(command: Sequence[str], inputs: Path, output: Path, **options: Any) -> float:
    """How long a command takes, from its start to its end."""
    with inputs.open("rb") as given, output.open("wb") as out:
        began = time.monotonic()
        ended = subprocess.run(command, stdin=given, stdout=out, stderr=subprocess.PIPE, check=False, **options)
        taken = time.monotonic() - began
    if ended.returncode:
        raise Failed(f"{command[0]} ended with {ended.returncode}: {ended.stderr.decode(errors='replace')}")
    return taken


def parallel() -> str:
    """GNU parallel; raises `Failed` where it is not installed."""
    found = shutil.which("parallel")
    if found is None:
        raise Failed("GNU parallel is not installed: apt-get install parallel")
    return found


def count(path: Path) -> int:
    """Lines in a file."""
    with path.open("rb") as file:
        return sum(1 for _ in file)
