"""Which boot of which machine this is."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import socket
from pathlib import Path


def boot_id() -> str:
    """What tells this boot of this machine from any other, and a container's processes from those of the next: their
    numbers, and the times at which they were started, mean nothing to each other."""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        spaces = [f"/proc/self/ns/{name}" for name in ("pid", "time")]
        return " ".join([boot, *(os.readlink(space) for space in spaces if os.path.lexists(space))])
    import psutil

    return f"{socket.gethostname()}-{int(psutil.boot_time())}"


@functools.cache
def mark() -> str:
    """`boot_id` as twelve hexadecimal digits, for names."""
    return hashlib.sha256(boot_id().encode()).hexdigest()[:12]
