"""What is known of one job, for programs that look at it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from tempotask.store import look
from tempotask.store.records import Status

if TYPE_CHECKING:
    from tempotask.store.store import Store


class LogEntry(msgspec.Struct, frozen=True):
    """One line that a job logged."""

    at: datetime
    message: Any


class ErrorInfo(msgspec.Struct, frozen=True):
    """The error of one try."""

    attempt: int
    at: datetime
    type: str
    message: str
    traceback: str


class JobInfo(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known of a job. Times are aware, durations are seconds; None is what is not known, or not so yet."""

    id: str
    name: str
    queue: str
    status: Status
    paused: bool
    priority: int
    tries: int
    """Tries begun so far."""
    enqueued_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    wait_seconds: float | None
    run_seconds: float | None
    cpu_seconds: float | None
    peak_memory_bytes: int | None
    worker: str | None
    host: str | None
    parent: str | None
    error: str | None
    result: Any
    data: Any
    logs: list[LogEntry]
    errors: list[ErrorInfo]
    """Of all tries so far that failed."""


def info_of(store: Store, found: look.Found) -> JobInfo:
    """A job as the store found it."""
    fields = msgspec.structs.asdict(look.row(found))
    for name in ("enqueued_at", "started_at", "finished_at"):
        if fields[name] is not None:
            fields[name] = _time(fields[name])
    record = found.record
    return JobInfo(
        **fields,
        data=None if record is None else look.data(store, record),
        logs=[LogEntry(_time(at), message) for at, message in look.logs(found)],
        errors=_errors(found, fields["finished_at"]),
    )


def _errors(found: look.Found, finished_at: datetime | None) -> list[ErrorInfo]:
    """Those that the record carries from try to try, and that of the last, which ended the job."""
    record = found.record
    if record is None:
        return []
    errors = [
        ErrorInfo(error.attempt, _time(error.at), error.type, error.message, error.traceback)
        for error in record.errors or ()
    ]
    last = found.finished.failure if found.finished is not None else None
    if last is not None and finished_at is not None:
        errors.append(ErrorInfo(record.tries + 1, finished_at, last.type, last.message, last.traceback))
    return errors


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
