"""What the job that runs says of itself: lines that it logs, how far it is, what it has added."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import Raw

from tempotask.store.numbers import LOG_LINES
from tempotask.store.records import Progress, encode

if TYPE_CHECKING:
    from tempotask.job import Context, Job

ROOM = 1 << 20
"""Bytes of log lines that are kept until they are flushed, at least. Of more lines than that, or than a log has, the
newest are kept."""


class Said(NamedTuple):
    """What a job that still runs has said and not told the server."""

    job: Job[Any]
    lines: list[Raw]
    progress: Progress | None
    children: list[str]
    """Ids of those that it has added."""
    sources: tuple[tuple[list[Raw], int], ...]
    """Where the lines are from, and how many of each: more may have been appended since."""


class Saying:
    """Keeps what a handler says until its job is settled, or until the worker's second thread flushes it.

    A handler may say something from any of its threads: lists are appended to at one end and cut at the other, or
    replaced, each in one step of the interpreter, so no lock is needed.
    """

    def __init__(self, context: Context[Any]) -> None:
        self._context = context
        self.news = False
        """Whether the job that runs has said anything."""
        self._older: list[Raw] = []
        self._lines: list[Raw] = []
        """The older ones are let go when there are enough of these."""
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
            told, lines, size = Raw(encode((now, Raw(line)))), self._lines, len(line)
            full = len(lines) >= LOG_LINES or self._room < size
        if self._context._job is not job:
            return
        self.news, self._last = True, now
        if full and self._lines is lines:
            self._older, self._lines, self._room = lines, [], ROOM
        self._room -= size
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
        lines, progress = self._older + self._lines, self._progress
        self._older, self._lines, self._progress, self._room = [], [], None, ROOM
        # The clock may have been set back since.
        self._last = 0.0
        return lines[-LOG_LINES:] or None, progress

    def look(self) -> Said | None:
        """What the job has said that runs now; None when it ends while we look. For another thread."""
        job = self._context._job
        if job is None:
            return None
        older, newer = self._older, self._lines
        lines, news = older[:], newer[:]
        sources = (older, len(lines)), (newer, len(news))
        said = Said(job, (lines + news)[-LOG_LINES:], self._progress, self._context._children.added(), sources)
        # Between the two looks at the job, what it had said can only have become nothing.
        return said if self._context._job is job else None

    def told(self, said: Said) -> None:
        """The server knows these lines. Its job may have ended meanwhile, and its run hold the rest."""
        for source, number in said.sources:
            del source[:number]
        self._room = ROOM
