"""Events, as scripts and workers record them while somebody listens, and how they are read."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
import redis
from msgspec import Raw

from tempotask.store.interrupts import packed
from tempotask.store.numbers import LISTENING_MS
from tempotask.store.records import NIL, Progress, Time, encode, level
from tempotask.store.store import Store

KINDS = ("waiting", "started", "progress", "completed", "failed", "retrying", "cancelled", "stalled", "worker")
RESULT_BYTES = 4096
"""Larger results are left out of events, which a stream keeps by the hundred thousand."""

Cursor = tuple[int, int]
"""A place in the stream of events: milliseconds by the server's clock, and a number."""
START: Cursor = (0, 0)


class Happening(msgspec.Struct, array_like=True, gc=False):
    """What happened to a job, as its worker tells it. Only what the kind of event has is given."""

    id: str
    queue: str
    name: str
    at: Time
    """Unix seconds."""
    attempt: int
    worker: str
    result: Raw = NIL
    type: str | None = None
    message: str | None = None
    """Of an error, and its type."""
    delay: float | None = None
    """Seconds until the next try."""
    progress: Progress | None = None


class Entry(NamedTuple):
    """One event of the stream: its place, its kind, and what is told, in the form that its kind has."""

    cursor: Cursor
    kind: str
    cut: bytes
    """The beginning of a record, from a script; or empty."""
    told: bytes
    """What Python made, a `Happening`; of kind `worker`, what a script says of one."""

    def head(self) -> tuple[str, str, str, int]:
        """Id, queue, name and priority of the job that a script tells of."""
        _, id, queue, priority, name = _decode_cut(self.cut)
        return id, queue, name, level(priority)

    def happening(self) -> Happening:
        """What a worker tells of a job."""
        return _decode_happening(self.told)

    def worker(self) -> tuple[str, str, str]:
        """What a script tells of a worker: its id, its supervisor's, `up` or `gone`."""
        return _decode_worker(self.told)


_decode_cut = msgspec.msgpack.Decoder(tuple[str, str, str, str, str]).decode
_decode_happening = msgspec.msgpack.Decoder(Happening).decode
_decode_worker = msgspec.msgpack.Decoder(tuple[str, str, str]).decode


def event(
    id: str,
    queue: str,
    name: str,
    at: float,
    attempt: int,
    worker: str,
    *,
    result: Raw = NIL,
    failure: tuple[str, str] | None = None,
    delay: float | None = None,
    progress: Progress | None = None,
) -> bytes:
    """A `Happening`, encoded. Large results stay with the job."""
    if len(result) > RESULT_BYTES:
        result = NIL
    type, message = failure or (None, None)
    return encode(Happening(id, queue, name, at, attempt, worker, result, type, message, delay, progress))


def listen(store: Store, listener: str) -> tuple[Cursor | None, bool]:
    """Says that this one listens. The place of the newest event, if there is one, and whether it was listening."""
    newest, known = store.run("listen", listener, LISTENING_MS)
    return _cursor(newest) if newest else None, known == b"1"


def listen_no_more(store: Store, listener: str) -> None:
    """Says that it does not, once: what it can't say expires."""
    store.try_once("listen", listener, "")


def read(store: Store, connection: redis.Connection, after: Cursor, seconds: float) -> list[Entry]:
    """The events behind a place, at most 1,000, waited for on a connection of the caller's own."""
    block = max(1, int(seconds * 1000))
    command = ("XREAD", "COUNT", 1000, "BLOCK", block, "STREAMS", f"{store.prefix}events", f"{after[0]}-{after[1]}")
    connection.send_packed_command(packed(*command))  # type: ignore[no-untyped-call]
    reply: Any = connection.read_response(disable_decoding=True)
    if not reply:
        return []
    # By name from servers that speak RESP3, as pairs from the others.
    ((_, entries),) = reply.items() if isinstance(reply, dict) else reply
    return [_entry(id, fields) for id, fields in entries]


def _entry(id: bytes, fields: list[bytes]) -> Entry:
    told = dict(zip(fields[::2], fields[1::2], strict=True))
    return Entry(_cursor(id), told.get(b"k", b"").decode(errors="replace"), told.get(b"r", b""), told.get(b"b", b""))


def _cursor(id: bytes) -> Cursor:
    milliseconds, _, number = id.partition(b"-")
    return int(milliseconds), int(number)
