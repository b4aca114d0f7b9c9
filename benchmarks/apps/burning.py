"""Work that takes exactly so much of a core."""

from __future__ import annotations

import time


def burn(seconds: float) -> None:
    """Uses so much of a core's time, however much of it other processes take meanwhile."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def walk(steps: int) -> None:
    """Takes so many steps, the same work however long it takes. Each is some dozens of nanoseconds."""
    value = 1
    for _ in range(steps):
        value = value * 1_103_515_245 + 12_345 & 0x7FFF_FFFF
