"""What all jobs under torture have in common: their data, their options, and what they write to the ledger."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import msgspec

from tempotask import Job
from torture.ledger import Pen

KEEP = 300
"""Seconds that outcomes are kept: longer than it takes until they are judged."""
MAX_CRASHES = 3

pen = Pen()


class Chore(msgspec.Struct):
    """What a job is owed under, and how long it takes."""

    mark: str
    seconds: float = 0.0
    fails: int = 0
    """So many tries raise an error."""


def write(what: str, job: Job[Any]) -> str:
    """Writes it down, and returns the mark of this run."""
    of = job.data.mark if isinstance(job.data, Chore) else job.parent or "-"
    pen.write(what, job.id, job.token, job.attempt, job.name, of)
    return f"{job.id}/{job.token}/{os.getpid()}"


def start(job: Job[Any]) -> str:
    return write("start", job)


def end(job: Job[Any]) -> str:
    """The last thing that a handler does: `return end(job)`."""
    return write("end", job)


@contextlib.contextmanager
def written(job: Job[Any]) -> Iterator[None]:
    """A run of a job: writes its start, and its end if it is an error. `end` writes the other kind."""
    start(job)
    try:
        yield
    except BaseException:
        write("raise", job)
        raise
