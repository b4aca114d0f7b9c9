"""Pace: how large a batch a worker asks for."""

from __future__ import annotations

BUDGET = 0.1
"""Seconds of work that a batch should be: a turn costs the server and its worker some tenths of a millisecond, for
their memory is cold by then. What a batch has finished is settled at its end, and runs again if its host is lost."""
LARGEST = 1000
"""The largest batch: larger ones gain nothing any more."""


class Pace:
    """How many jobs to ask for: as many as fill `BUDGET` at their measured duration, and `room` bytes at their size."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._seconds = BUDGET / 4
        self._bytes = 0.0

    def want(self) -> int:
        """The size of the next batch, in jobs."""
        fit = min(BUDGET / self._seconds, self._room / self._bytes if self._bytes else LARGEST)
        return max(1, min(LARGEST, int(fit)))

    def took(self, jobs: int, seconds: float, size: int) -> None:
        """Learns from a batch: half of what is believed is the last one's."""
        if jobs:
            self._seconds = max(1e-7, (self._seconds + seconds / jobs) / 2)
            self._bytes = (self._bytes + size / jobs) / 2
