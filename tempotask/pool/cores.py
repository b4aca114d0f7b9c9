"""How many cores there are, and how many of them this process may use."""

from __future__ import annotations

import contextlib
import math
import os
from pathlib import Path


def quota(root: Path = Path("/sys/fs/cgroup")) -> float | None:
    """The cores that the container's CPU quota allows, of cgroup v2 or v1; None without one."""
    with contextlib.suppress(OSError, ValueError):
        most, period = (root / "cpu.max").read_text().split()[:2]
        return None if most == "max" else int(most) / int(period)
    for folder in ("cpu", "cpu,cpuacct"):
        with contextlib.suppress(OSError, ValueError):
            most_us = int((root / folder / "cpu.cfs_quota_us").read_text())
            period_us = int((root / folder / "cpu.cfs_period_us").read_text())
            return most_us / period_us if most_us > 0 else None
    return None


def warning(workers: int) -> str | None:
    """What to say when so many workers will not get a core each; None when they will."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    reason = "the affinity of this process allows"
    allowed = quota()
    if allowed is not None and allowed < usable:
        usable, reason = max(1, math.floor(allowed)), "the CPU quota of this container allows"
    if usable >= workers or usable >= (os.cpu_count() or 1):
        return None
    return f"{reason} {usable} cores for {workers} workers: give --concurrency {usable}"
