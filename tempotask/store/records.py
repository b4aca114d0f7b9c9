"""What is stored, and its MessagePack.

A job is one record, a MessagePack array. Its first four fields are strings, which is all that scripts read; they
replace the first, the flags, at most (in a plain record the second byte is 0xa0, an empty string) and never decode
the rest. Everything else is decoded in Python, typed.
"""

from __future__ import annotations

import re
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Raw, UnsetType

Status = Literal["waiting", "delayed", "processing", "completed", "failed", "cancelled"]
FINISHED: tuple[Status, ...] = ("completed", "failed", "cancelled")

Progress = tuple[float, float | None, str | None]
"""How far a job says it is: done, total, a note."""

NIL = Raw(b"\xc0")
OUTSIDE_BYTES = 4096
"""Payloads larger than this many bytes live under a key of their own."""


class RunOptions(msgspec.Struct, omit_defaults=True, frozen=True):
    """What a job needs when it runs, where the call gave it; the rest comes from the worker's registration."""

    attempts: int | UnsetType = UNSET
    retry_delay: float | UnsetType = UNSET
    backoff: Literal["fixed", "exponential"] | UnsetType = UNSET
    max_retry_delay: float | UnsetType = UNSET
    timeout: float | UnsetType | None = UNSET
    kill_after: float | UnsetType = UNSET
    cancel_grace: float | UnsetType = UNSET
    max_crashes: int | UnsetType = UNSET
    keep_result: float | UnsetType = UNSET


class TryError(msgspec.Struct, array_like=True, frozen=True):
    """The error of one try."""

    attempt: int
    at: float
    """Unix seconds."""
    type: str
    message: str
    traceback: str


class Record(msgspec.Struct, array_like=True, gc=False):
    """A job that has not finished. `flags` come first, so that scripts find them at a fixed place."""

    flags: str
    """`c2` two crashes, `h1` one lost host, `p17` the payload lives outside, as `payload:17:<id>`, `g` it has been
    let go; several follow each other. The number of a payload is of this run: two runs of one id do not share it."""
    id: str
    queue: str
    priority: str
    """A whole number as text, `0` as a rule."""
    name: str
    enqueued_at: float
    """Unix seconds, by the server's clock."""
    tries: int = 0
    """Tries used up before this one."""
    payload: Raw = NIL
    options: RunOptions | None = None
    parent: str | None = None
    errors: list[TryError] | None = None
    children: list[str] | None = None
    """Ids of jobs that earlier tries added."""


class Batch(msgspec.Struct, array_like=True, gc=False):
    """What a turn claimed: the name of the turn (its number, `<number>@<ms>` if handed over), the fencing token of its
    first job, the records, and the payloads that are kept outside, by index."""

    turn: str
    token: int
    records: list[Record]
    payloads: dict[int, bytes]
    listened: bool = False
    """Whether somebody listened to events when it was claimed."""


class Registration(msgspec.Struct, array_like=True, frozen=True):
    """What a supervisor says of itself. `boot` and `born_ns` tell whether its process can still be the same."""

    host: str
    boot: str
    pid: int
    started: float
    """When the process started, Unix seconds, as the host counts."""
    tasks: list[tuple[str, str]]
    """Queue and name of the tasks that it declares."""
    workers: int
    schedules: list[tuple[str, str]] = []
    """Ids and forms of the schedules that it declares."""
    application: str = ""
    """What it runs, as it was typed, and the folder from which that is imported."""
    folder: str = ""
    born_ns: int = 0
    """When the process started, since the machine did: unlike `started` it stays the same when the clock is set. 0
    where that can't be told."""


def read_registration(told: bytes) -> Registration | None:
    """What a supervisor said of itself; None if it is of a version that this one can't read."""
    try:
        return msgspec.msgpack.decode(told, type=Registration)
    except msgspec.MsgspecError:
        return None


class Failure(msgspec.Struct, array_like=True, frozen=True):
    """Why a job failed, or was cancelled."""

    type: str
    message: str
    traceback: str = ""


DELETED = Failure("JobCancelled", "it was deleted")


class Outcome(msgspec.Struct, array_like=True, frozen=True):
    """How a job ended, for whoever asks."""

    status: Status
    queue: str
    name: str
    result: Raw = NIL
    failure: Failure | None = None

    @property
    def is_of_a_deleted_job(self) -> bool:
        """Whether it is there only for those who waited, until they have it."""
        return self.failure == DELETED


class Finished(msgspec.Struct, array_like=True, gc=False):
    """A finished job as lists show it. Times are seconds on the page's own clock (pages.py)."""

    record: Record
    started: float | None
    """None for one that never started, as far as is known."""
    ended: float
    cpu_seconds: float | None = None
    peak_memory_bytes: int | None = None
    result: Raw = NIL
    failure: Failure | None = None
    lines: list[Raw] | None = None
    """What this try logged and has not told before: each Unix seconds and a message."""
    progress: Progress | None = None
    children: list[str] | None = None
    """Ids of the jobs that this try added."""


_encoder = msgspec.msgpack.Encoder()
encode = _encoder.encode
decode_record = msgspec.msgpack.Decoder(Record).decode
decode_batch = msgspec.msgpack.Decoder(Batch).decode
decode_outcome = msgspec.msgpack.Decoder(Outcome).decode


_FLAG = re.compile(r"([a-z])(\d*)")


def flag(record: Record, letter: str) -> int:
    """The number behind a flag; 1 for one without a number, 0 for one that is not there."""
    for name, number in _FLAG.findall(record.flags):
        if name == letter:
            return int(number or 1)
    return 0


def payload_key(record: Record) -> str:
    """The key of a payload outside, without prefix."""
    return f"payload:{flag(record, 'p')}:{record.id}"


def raised_flag(flags: str, letter: str) -> str:
    """The same flags with that flag's number one higher."""
    numbers = {name: int(number or 0) for name, number in _FLAG.findall(flags)}
    numbers[letter] = numbers.get(letter, 0) + 1
    return "".join(f"{name}{number}" for name, number in numbers.items())


def raised(record: Record, letter: str) -> Record:
    """The same record with that flag's number one higher."""
    return msgspec.structs.replace(record, flags=raised_flag(record.flags, letter))


def without_payload(record: Record) -> Record:
    """The same record, its payload outside let go: the flag `g` tells so."""
    return msgspec.structs.replace(record, flags=re.sub(r"p\d*", "g", record.flags))


def plain(raw: Raw) -> Any:
    """A payload or a result as plain data."""
    return msgspec.msgpack.decode(raw)
