"""What jobs say of themselves: since when they run, how far they are, what they log.

A job that runs long is told of while it runs, in `live` and `log:<id>`; what it said last comes with its end.
"""

from __future__ import annotations

from typing import Any

import msgspec

from tempotask.store.look import Found
from tempotask.store.store import Store

LINES = 1000
"""Lines of a job that are kept; the newest."""
KEPT = 7 * 86400.0
"""Seconds for which a log is kept after its last line."""

Progress = tuple[float, float | None, str | None]
"""Done, total, a note."""


class Live(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A job that runs."""

    worker: str
    attempt: int
    started: float
    """Unix seconds."""
    progress: Progress | None = None


_decode_live = msgspec.msgpack.Decoder(Live).decode


def live(store: Store, found: Found) -> Live | None:
    """What is known of a job while it is processing; None of others, and of one that has not run for long."""
    if found.status != "processing":
        return None
    stored = store.read("HGET", "live", found.id)
    if not stored:
        return None
    told = _decode_live(stored.partition(b"\n")[2])
    tries = found.record.tries if found.record is not None else 0
    return told if told.worker == found.worker and told.attempt == tries + 1 else None


def progress(store: Store, found: Found) -> Progress | None:
    """How far a job says it is, or was at its end."""
    if found.finished is not None:
        return found.finished.progress
    told = live(store, found)
    return told.progress if told is not None else None


def logs(store: Store, found: Found) -> list[tuple[float, Any]]:
    """What all tries of a job logged so far, as far as it has been told: Unix seconds and message, oldest first."""
    lines = store.read("LRANGE", f"log:{found.id}", 0, -1)
    if found.finished is not None and found.finished.lines:
        lines += [bytes(line) for line in found.finished.lines]
    # One that was sent twice, because nobody knew whether it had arrived, is one: it carries its time.
    return [(at, message) for at, message in map(msgspec.msgpack.decode, dict.fromkeys(lines))][-LINES:]
