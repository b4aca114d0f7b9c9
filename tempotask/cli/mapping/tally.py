"""How far a map is: what has been done, how fast, and how long the rest will take."""

from __future__ import annotations

import time
from collections import deque

WINDOW = 15.0
"""Seconds over which the pace is measured."""


class Tally:
    """Counts, and the pace of late."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.done = 0
        """Inputs that were answered with a result."""
        self.failed = 0
        self.before = 0
        """Those that an earlier command has answered."""
        self.total: float | None = None
        """How many inputs there are, or will be about."""
        self._marks: deque[tuple[float, int]] = deque([(self.began, 0)])

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return time.monotonic() - self.began

    def mark(self) -> None:
        """Notes how far it is now, a few times a second, for the pace."""
        now = time.monotonic()
        self._marks.append((now, self.done + self.failed))
        while len(self._marks) > 2 and self._marks[0][0] < now - WINDOW:
            self._marks.popleft()

    @property
    def pace(self) -> float:
        """Inputs a second, of late."""
        (began, first), (ended, last) = self._marks[0], self._marks[-1]
        return (last - first) / (ended - began) if ended > began else 0.0

    @property
    def average(self) -> float:
        """Inputs a second, from the beginning."""
        return (self.done + self.failed) / max(self.seconds, 1e-3)

    @property
    def left(self) -> float | None:
        """Seconds that the rest will take; None where nobody can know."""
        if self.total is None or self.pace <= 0:
            return None
        return max(0.0, self.total - self.before - self.done - self.failed) / self.pace

    def state(self) -> dict[str, float | None]:
        """All of it, for programs."""
        return {
            "done": self.done,
            "failed": self.failed,
            "before": self.before,
            "total": self.total,
            "seconds": self.seconds,
            "per_second": self.pace,
            "seconds_left": self.left,
        }

    @property
    def part(self) -> float | None:
        """How much of all is done, from 0 to 1."""
        if not self.total:
            return None
        return min(1.0, (self.before + self.done + self.failed) / self.total)


def clock(seconds: float) -> str:
    """As a clock shows it: 0:07, 12:30, 1:02:30."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def pace(number: float) -> str:
    """Inputs a second, as people read it."""
    return f"{number:,.0f}/s" if number >= 10 else f"{number:.2g}/s"
