"""What became of one job, and the batch in hand with what became of its jobs so far."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from tempotask.store.records import NIL, Batch, Failure, Record, Status


class Run(msgspec.Struct, gc=False):
    """What became of one job of a batch. Times are of the monotonic clock, in seconds."""

    record: Record
    started: float
    ended: float
    outcome: bytes
    """Encoded; empty when the job is tried again."""
    keep_ms: int
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


class Hand:
    """The batch in hand and what became of it so far."""

    def __init__(self, batch: Batch, size: int) -> None:
        self.batch = batch
        self.size = size
        """Bytes."""
        self.runs: list[Run] = []
        """In the order of the batch, from its first job on. Only ever appended to: two threads read it."""
        self.acknowledged = 0
        """So many of them, from the first on, are settled."""
        self.missing: set[int] = set()
        """Indices that were taken away although they ran: they count for nothing."""
