"""What is stored, and its MessagePack.

A job is one record, a MessagePack array. Its first four fields are strings, which is all that scripts read; they
replace the first, the flags, at most (in a plain record the second byte is 0xa0, an empty string) and never decode
the rest. Everything else is decoded in Python, typed.
"""

from __future__ import annotations

import hashlib
import re
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import UNSET, Raw, UnsetType

from tempotask import arrays
from tempotask.durations import LONGEST

Status = Literal["waiting", "delayed", "processing", "completed", "failed", "cancelled"]
STATUSES: tuple[Status, ...] = get_args(Status)
FINISHED: tuple[Status, ...] = ("completed", "failed", "cancelled")

Progress = tuple[float, float | None, str | None]
"""How far a job says it is: done, total, a note."""

NIL = Raw(b"\xc0")
OUTSIDE_BYTES = 4096
"""Payloads larger than this many bytes live under a key of their own."""


# Bounds for what is read from the server: a number outside of them is damage, and not data.
_Seconds = Annotated[float, msgspec.Meta(ge=0, le=LONGEST)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Time = Annotated[float, msgspec.Meta(ge=0, le=1e11)]
"""Unix seconds."""


class RunOptions(msgspec.Struct, omit_defaults=True, frozen=True):
    """What a job needs when it runs, where the call gave it; the rest comes from the worker's registration."""

    attempts: _Count | UnsetType = UNSET
    retry_delay: _Seconds | UnsetType = UNSET
    backoff: Literal["fixed", "exponential"] | UnsetType = UNSET
    max_retry_delay: _Seconds | UnsetType = UNSET
    timeout: _Seconds | UnsetType | None = UNSET
    kill_after: _Seconds | UnsetType = UNSET
    cancel_grace: _Seconds | UnsetType = UNSET
    max_crashes: _Count | UnsetType = UNSET
    keep_result: _Seconds | UnsetType = UNSET


class TryError(msgspec.Struct, array_like=True, frozen=True):
    """The error of one try."""

    attempt: int
    at: Time
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
    enqueued_at: Time
    """Unix seconds, by the server's clock."""
    tries: _Count = 0
    """Tries used up before this one."""
    payload: Raw = NIL
    options: RunOptions | None = None
    parent: str | None = None
    errors: list[TryError] | None = None
    children: list[str] | None = None
    """Ids of jobs that earlier tries added."""


class Unreadable(Record, array_like=True, gc=False):
    """What stands for a record that can't be read: hostile bytes, or those of a version to come.

    What its head says is so as far as that can be read; else the id is made of its bytes, and the queue is one for all
    of them. The bytes themselves are its payload.
    """

    reason: str = ""


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
    pid: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
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
    except UNREADABLE:
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
    started: Time | None
    """None for one that never started, as far as is known."""
    ended: Time
    cpu_seconds: _Seconds | None = None
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
decode_batch = msgspec.msgpack.Decoder(Batch).decode
"""Raises what is in `UNREADABLE`."""
_decode_record = msgspec.msgpack.Decoder(Record).decode
_decode_outcome = msgspec.msgpack.Decoder(Outcome).decode

UNREADABLE = (ValueError, OverflowError, RecursionError, MemoryError)
"""What is raised for bytes that can't be read; all of msgspec's errors are ValueErrors."""
UNREADABLE_QUEUE = "tempotask/unreadable"
"""The queue of what has a head that can't be read: base.lua calls it so too."""
UNREADABLE_TYPE = "UnreadableRecord"
"""The type of the failure of a job that was put aside for that."""
_SHOWN = 1 << 16
"""Bytes of an unreadable record that are kept; one that is longer can't be tried again."""
_PRIORITY = re.compile(r"-?[0-9]{1,7}|[0-9]{8}")
"""As base.lua reads it."""


def head(record: bytes) -> tuple[str, str, str, str]:
    """Flags, id, queue and priority of a record, of which the rest may be missing.

    Raises ValueError for what is no record.
    """
    fields, at = [], 1
    for _ in range(4):
        field, at = _text(record, at)
        fields.append(field)
    flags, id, queue, priority = fields
    if not (id and queue and _PRIORITY.fullmatch(priority)):
        raise ValueError("it has no id, no queue or no priority")
    return flags, id, queue, priority


def _text(record: bytes, at: int) -> tuple[str, int]:
    """The text that begins there, and where it ends."""
    length, at = (record[at] if at < len(record) else 0), at + 1
    if 0xA0 <= length < 0xC0:
        length -= 0xA0
    elif length in (0xD9, 0xDA, 0xDB):
        width = 1 << (length - 0xD9)
        length, at = int.from_bytes(record[at : at + width]), at + width
    else:
        raise ValueError("no text begins where one should")
    if at + length > len(record):
        raise ValueError("it is cut off")
    return record[at : at + length].decode(), at + length


def decode_record(stored: bytes) -> Record:
    """A record; `Unreadable` if it can't be read."""
    try:
        record = _decode_record(stored)
        # What scripts can't read (`head`) is no record here either: msgspec also takes an array with a longer header.
        if record.id and record.queue and _PRIORITY.fullmatch(record.priority) and stored[0] & 0xF0 == 0x90:
            return record
        reason = "it has no id, no queue or no priority"
    except UNREADABLE as error:
        reason = str(error) or type(error).__name__
    try:
        flags, id, queue, priority = head(stored)
    except ValueError:
        flags, id, queue, priority = "", f"unreadable-{hashlib.sha1(stored).hexdigest()[:16]}", UNREADABLE_QUEUE, "0"
    if len(stored) > _SHOWN:
        flags = re.sub(r"g\d*", "", flags) + "g"
    payload = Raw(encode(stored[:_SHOWN]))
    # Some options, so that the hot loop leaves it to who looks closely.
    return Unreadable(flags, id, queue, priority, "", 0.0, 0, payload, RunOptions(), reason=reason)


def original(record: Record) -> bytes:
    """The bytes that an `Unreadable` stood for, when that has been stored and read again."""
    return msgspec.msgpack.decode(record.payload, type=bytes)


def decode_outcome(stored: bytes) -> Outcome:
    """An outcome; one of a failed job if it can't be read."""
    try:
        return _decode_outcome(stored)
    except UNREADABLE as error:
        why = f"how it ended can't be read here ({error}); does another version of TempoTask run it?"
        return Outcome("failed", "", "", failure=Failure("UnreadableOutcome", why))


_FLAG = re.compile(r"([a-z])(\d*)")


def flag(record: Record, letter: str) -> int:
    """The number behind a flag; 1 for one without a number, 0 for one that is not there."""
    for name, number in _FLAG.findall(record.flags):
        if name == letter:
            return int(number or 1)
    return 0


def level(priority: str) -> int:
    """A priority as a number; 0 for what is none."""
    return int(priority) if _PRIORITY.fullmatch(priority) else 0


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


def plain(raw: Raw | bytes) -> Any:
    """A payload or a result as plain data, arrays as a line of text; the bytes themselves if they are no
    MessagePack."""
    try:
        return msgspec.msgpack.decode(raw, ext_hook=arrays.shown)
    except UNREADABLE:
        return bytes(raw)
