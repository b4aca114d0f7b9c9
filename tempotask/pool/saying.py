"""What the job that runs says of itself: lines that it logs, how far it is."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import Raw

from tempotask.store.records import encode

if TYPE_CHECKING:
    from tempotask.job import Context, Job

LINES, ROOM = 1000, 1 << 20
"""Log lines, and bytes of them, that are kept until they are flushed: of more, the first."""

Progress = tuple[float, float | None, str | None]
"""Done, total, a note."""


class Said(NamedTuple):
    """What a job that still runs has said and not told the server."""

    job: Job[Any]
    lines: list[Raw]
    progress: Progress | None
    source: list[Raw]
    """Where the lines are from; more may have been appended since."""


class Saying:
    """Keeps what a handler says until its job is settled, or until the worker's second thread flushes it.

    A handler may say something from any of its threads: lists are appended to at one end and cut at the other, each
    in one step of the interpreter, so no lock is needed.
    """

    def __init__(self, context: Context[Any]) -> None:
        self._context = context
        self.news = False
        """Whether the job that runs has said anything."""
        self._lines: list[Raw] = []
        self._progress: Progress | None = None
        self._room = ROOM
        self._last = 0.0

    def log(self, id: str, line: bytes) -> None:
        """A line, encoded. One that comes from a thread that has outlived its job is dropped."""
        if self._is_over(id):
            return
        # No two lines of a job are the same: so readers know one that was sent twice.
        self._last = now = max(time.time(), self._last + 1e-6)
        self._room -= len(line)
        if len(self._lines) < LINES and self._room > 0:
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
        self._lines, self._progress, self._room = [], None, ROOM
        return lines or None, progress

    def look(self) -> Said | None:
        """What the job has said that runs now; None when it ends while we look. For another thread."""
        job = self._context._job
        if job is None:
            return None
        source = self._lines
        said = Said(job, source[:], self._progress, source)
        # Between the two looks at the job, what it had said can only have become nothing.
        return said if self._context._job is job else None

    def told(self, said: Said) -> None:
        """The server knows these lines. Its job may have ended meanwhile, and its run hold the rest."""
        del said.source[: len(said.lines)]
        self._room = ROOM

    def _is_over(self, id: str) -> bool:
        job = self._context._job
        return job is not None and job.id != id
