"""How many cores there are, and how many of them this process may use."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator
from pathlib import Path

ROOT, GROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
"""Where the kernel shows the settings of control groups, and which of them this process is in."""


def quota(root: Path = ROOT, groups: Path = GROUPS) -> float | None:
    """The cores that a container's or a service's CPU quota allows, of cgroup v2 or v1; None without one."""
    return min((cores for folder in _folders(root, groups) for cores in _allowed(folder)), default=None)


def _folders(root: Path, groups: Path) -> Iterator[Path]:
    """Those of the groups that this process is in, and of those around them: the least of all quotas counts."""
    try:
        lines = groups.read_text().splitlines()
    except OSError:
        lines = []
    inside = {controllers: path for _, controllers, path in (line.split(":", 2) for line in lines)}
    for controllers in ("", "cpu", "cpu,cpuacct"):
        top = root / controllers
        # In a container the path may be one of the host's, and not be there.
        folder = top / inside.get(controllers, "/").lstrip("/")
        yield from (each for each in (folder, *folder.parents) if each.is_relative_to(top))


def _allowed(folder: Path) -> Iterator[float]:
    """The quota that is set in one folder, if one is."""
    with contextlib.suppress(OSError, ValueError):
        most, period = (folder / "cpu.max").read_text().split()[:2]
        if most != "max":
            yield int(most) / int(period)
    with contextlib.suppress(OSError, ValueError):
        most_us = int((folder / "cpu.cfs_quota_us").read_text())
        if most_us > 0:
            yield most_us / int((folder / "cpu.cfs_period_us").read_text())


def warning(workers: int, root: Path = ROOT, groups: Path = GROUPS) -> str | None:
    """What to say when so many workers will not get a core each; None when they will."""
    usable: float = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    reason = "the affinity of this process allows"
    allowed = quota(root, groups)
    if allowed is not None and allowed < usable:
        usable, reason = allowed, "the CPU quota of this container or service allows"
    # A part of a core is used by a worker of its own.
    number = max(1, math.ceil(usable))
    if number >= workers or usable >= (os.cpu_count() or 1):
        return None
    cores = "1 core" if usable == 1 else f"{usable:g} cores"
    return f"{reason} {cores} for {workers} workers: give --concurrency {number}"
