"""What the job that runs says of itself: lines that it logs, how far it is."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import Raw

from tempotask.store.records import encode

if TYPE_CHECKING:
    from tempotask.job import Context, Job

LINES = 1000
"""Log lines that are kept between two flushes."""

Progress = tuple[float, float | None, str | None]
"""Done, total, a note."""


class Said(NamedTuple):
    """What a job that still runs has said and not told the server."""

    job: Job[Any]
    lines: list[Raw]
    """The list itself, to which more is appended: what has been told is to be taken away from its front."""
    number: int
    """So many lines it had."""
    progress: Progress | None


class Saying:
    """Keeps what a handler says until its job is settled, or until the worker's second thread flushes it.

    A handler may say something from any of its threads; the lists are only appended to, so no lock is needed.
    """

    def __init__(self, context: Context[Any]) -> None:
        self._context = context
        self.news = False
        """Whether the job that runs has said anything."""
        self._lines: list[Raw] = []
        self._progress: Progress | None = None
        self._last = 0.0

    def log(self, id: str, line: bytes) -> None:
        """A line, encoded. One that comes from a thread that has outlived its job is dropped."""
        if self._is_over(id):
            return
        # No two lines of a job are the same: so readers know one that was sent twice.
        self._last = now = max(time.time(), self._last + 1e-6)
        if len(self._lines) < LINES:
            self._lines.append(Raw(encode((now, Raw(line)))))
        self.news = True

    def tell(self, id: str, progress: Progress) -> None:
        """How far the job is."""
        if not self._is_over(id):
            self._progress = progress
            self.news = True

    def take(self) -> tuple[list[Raw] | None, Progress | None]:
        """All that the job has said, at its end: for the next one nothing has been said."""
        if not self.news:
            return None, None
        self.news = False
        lines, progress = self._lines, self._progress
        self._lines, self._progress = [], None
        return lines or None, progress

    def look(self) -> Said | None:
        """What the job has said that runs now; None when it ends while we look. For another thread."""
        job = self._context._job
        if job is None:
            return None
        lines, progress = self._lines, self._progress
        said = Said(job, lines, len(lines), progress)
        # Between the two looks at the job the lines can only have become those of none.
        return said if self._context._job is job else None

    def _is_over(self, id: str) -> bool:
        job = self._context._job
        return job is not None and job.id != id
