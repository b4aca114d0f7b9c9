"""What became of one job, and the batch in hand with what became of its jobs so far."""

from __future__ import annotations

import math

import msgspec
from msgspec import Raw

from tempotask.shelf import ShelfFile, remove
from tempotask.store.records import NIL, Batch, Failure, Progress, Record, RunOptions, Status
from tempotask.store.script import Argument


class Run(msgspec.Struct, gc=False):
    """What became of one job of a batch. Times are of the monotonic clock, in seconds."""

    record: Record
    started: float
    ended: float
    outcome: bytes
    """Encoded; empty when the job is tried again."""
    keep_ms: int
    """Milliseconds for which the outcome is kept."""
    status: Status | None
    result: Raw = NIL
    failure: Failure | None = None
    retry: tuple[int, bytes] | None = None
    """Milliseconds from now, and the record of the next try."""
    cpu_seconds: float | None = None
    """Of the whole process, from 1 ms on."""
    peak_memory: int | None = None
    """The most that the process ever held so far, in bytes."""
    lines: list[Raw] | None = None
    """What it logged and has not been told before."""
    progress: Progress | None = None
    children: list[str] | None = None
    """Ids of the jobs that it added."""
    held: list[Argument] | None = None
    """Children that are added with its success: `Addition.body`."""
    told: Told | None = None
    """What was told of it while it ran, if it ran long."""

    @property
    def size(self) -> int:
        """Bytes of what a settlement carries for it, about."""
        said = sum(len(bytes(line)) for line in self.lines or ())
        children = sum(len(part) for part in self.held or () if isinstance(part, bytes))
        return len(self.outcome) + (len(self.retry[1]) if self.retry else 0) + said + children


def keep_ms(options: RunOptions) -> int:
    """`keep_result`, in milliseconds."""
    return math.ceil(float(options.keep_result or 0) * 1000)


class Told(msgspec.Struct):
    """What the server has been told of a job while it ran."""

    sure: bool = False
    """Whether it has answered to the last of it."""
    logged: bool = False
    """Whether lines of it may be there already."""
    started: bool = False
    """Whether those who listen to events may know that it started."""
    progress: Progress | None = None
    """How far it was."""
    children: int = 0
    """How many it had added."""


class Hand:
    """The batch in hand and what became of it so far."""

    def __init__(self, batch: Batch, size: int) -> None:
        self.batch = batch
        self.size = size
        """Bytes."""
        self.runs: list[Run] = []
        """In the order of the batch, from its first job on. Two threads read it: it only gets longer, and what is there
        is replaced by none but who takes the turn."""
        self.acknowledged = 0
        """So many of them, from the first on, are settled."""
        self.began = 0.0
        """When its first job started, by the monotonic clock."""
        self.told: dict[int, Told] = {}
        """What was told of those that ran long, by index."""
        self.missing: set[int] = set()
        """Indices that were taken away although they ran: they count for nothing."""
        self.opened: dict[int, list[ShelfFile]] = {}
        """The files of large arrays that jobs came with, by index."""

    def let_go(self, stop: int) -> None:
        """Removes the files of the jobs up to `stop`, which are settled. A job that is tried again needs its files."""
        # Of a copy: the main thread adds to it while the second one settles.
        for index in [index for index in list(self.opened) if index < stop]:
            files = self.opened.pop(index)
            if self.runs[index].status is not None and index not in self.missing:
                for file in files:
                    remove(file)
