"""What the job that runs says of itself: lines that it logs, how far it is."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import Raw

from tempotask.store.records import Progress, encode

if TYPE_CHECKING:
    from tempotask.job import Context, Job

MOST_LINES, ROOM = 1000, 1 << 20
"""Log lines, and bytes of them, that are kept until they are flushed: of more, the first."""


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

    def log(self, job: Job[Any], line: bytes) -> None:
        """A line of that job, encoded. One that comes from a thread that has outlived its job is dropped."""
        last, now = -1.0, 0.0
        # The interpreter changes threads at calls: behind the last of them it stays the job that runs, and no two of
        # its lines are the same, so that readers know one that was sent twice.
        while last != self._last:
            last = self._last
            now = max(time.time(), last + 1e-6)
            told, fits = Raw(encode((now, Raw(line)))), len(self._lines) < MOST_LINES and self._room > len(line)
        if self._context._job is not job:
            return
        self.news, self._last = True, now
        self._room -= len(line)
        if fits:
            self._lines.append(told)

    def tell(self, job: Job[Any], progress: Progress) -> None:
        """How far that job is; of a thread that has outlived it likewise."""
        if self._context._job is job:
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
