"""What jobs say of themselves: since when they run, how far they are, what they log.

A job that runs long is told of while it runs, in `live` and `log:<id>`; what it said last comes with its end.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Raw

from tempotask import arrays
from tempotask.store.numbers import LOG_LINES
from tempotask.store.records import UNREADABLE, Progress, Time


class Live(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A job that runs."""

    worker: str
    attempt: int
    started: Time
    """Unix seconds."""
    progress: Progress | None = None
    children: list[str] | None = None
    """Ids of the jobs that this try has added."""


_decode_line = msgspec.msgpack.Decoder(tuple[Time, Any], ext_hook=arrays.shown).decode
_decode_live = msgspec.msgpack.Decoder(Live).decode


def live_of(stored: bytes | None, worker: str | None, attempt: int) -> Live | None:
    """What `live` holds of a job, if it is of the try that this worker runs now."""
    if not stored:
        return None
    try:
        told = _decode_live(stored.partition(b"\n")[2])
    except UNREADABLE:
        return None
    return told if (told.worker, told.attempt) == (worker, attempt) else None


def is_started(stored: bytes | None, worker: str, turn: str, index: int) -> bool:
    """Whether those who listen have been told of this start, by what `live` holds of the job (say.lua)."""
    return stored is not None and stored.startswith(f"2{worker} {turn} {index}\n".encode())


def lines_of(stored: Sequence[bytes], last: Sequence[Raw] | None) -> list[tuple[float, Any]]:
    """What a job logged, from its log and what came with its end: Unix seconds and message, oldest first."""
    # One that was sent twice, because nobody knew whether it had arrived, is one: it carries its time.
    lines = dict.fromkeys([*stored, *map(bytes, last or ())])
    return list(itertools.chain.from_iterable(map(_line, lines)))[-LOG_LINES:]


def _line(stored: bytes) -> list[tuple[float, Any]]:
    """A line, or nothing if it can't be read."""
    try:
        return [_decode_line(stored)]
    except UNREADABLE:
        return []
