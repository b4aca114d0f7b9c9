"""Work that takes exactly so much of a core."""

from __future__ import annotations

import time


def burn(seconds: float) -> None:
    """Uses so much of a core's time, however much of it other processes take meanwhile."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass
