"""What the C library of a worker does with memory that a job has let go of: it keeps it, for the next job will want as
much.

glibc gives the end of its heap back when more than some hundred KiB there are free, and the next job pays for each of
its pages again: for jobs that handle buffers of a MiB, that is a millisecond each. How much it keeps grows by itself,
to 64 MiB at most, with what the process happens to let go of; a worker begins there.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Mapping

LARGEST = 32 << 20
"""Bytes from which on memory comes from the kernel by itself, and goes back; glibc's own maximum."""
KEPT = 2 * LARGEST
"""Bytes that are kept at the end of the heap."""
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
CHOSEN = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_MMAP_MAX_")


def keep_freed_memory(environment: Mapping[str, str]) -> None:
    """Has this process do so, unless its environment says what it is to do, or it has another C library."""
    if any(name in environment for name in CHOSEN) or "glibc.malloc" in environment.get("GLIBC_TUNABLES", ""):
        return
    with contextlib.suppress(AttributeError, OSError):
        set_option = ctypes.CDLL(None).mallopt
        set_option(_M_MMAP_THRESHOLD, LARGEST)
        set_option(_M_TRIM_THRESHOLD, KEPT)
