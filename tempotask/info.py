"""What is known of one job, for programs that look at it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from tempotask.store import lists, look, shown
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


class Progress(msgspec.Struct, frozen=True):
    """How far a job says it is."""

    done: float
    total: float | None = None
    note: str | None = None


class JobInfo(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known of a job. Times are aware, durations are seconds; None is what is not known, or not so yet."""

    id: str
    name: str
    queue: str
    status: Status
    paused: bool
    """Whether the job is paused on its own, and not with its queue."""
    priority: int | None
    """The higher, the sooner."""
    tries: int | None
    """Tries begun so far; not known, as its priority, where history keeps the job no longer."""
    enqueued_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    wait_seconds: float | None
    """From when it was added to when its last try began."""
    run_seconds: float | None
    """What the last try took."""
    cpu_seconds: float | None
    """Processor time of its process during the last try; of tries of a millisecond or more."""
    peak_memory_bytes: int | None
    """The most that its process had ever held by then, other jobs included."""
    worker: str | None
    """The id of the worker that holds it, or ran it last."""
    host: str | None
    """The name of that worker's host."""
    parent: str | None
    """The id of the job whose handler added this one."""
    error: str | None
    """`type: message` of the last failure."""
    result: Any
    """As plain data: it is not decoded to the task's type."""
    data: Any
    """The payload as plain data; None also when it was let go of: over 4 KiB, and the job completed."""
    logs: list[LogEntry]
    """What all its tries logged, oldest first."""
    progress: Progress | None
    """The last that the try said which runs, or ran last and ended the job; None between two tries."""
    errors: list[ErrorInfo]
    """Of all tries so far that failed."""
    children: list[str]
    """Ids of the jobs that its tries added."""


class JobInfos(list[JobInfo]):
    """Some of the jobs that were asked for, newest first."""

    cursor: str | None = None
    """What to give to the next call, for those that follow; None when there are none."""


class QueueInfo(msgspec.Struct, frozen=True):
    """A queue, and its newest jobs."""

    name: str
    paused: bool
    stats: dict[str, int]
    """How many jobs there are now, by status, and in all as `total`; finished ones as far as history keeps them."""
    jobs: dict[str, list[JobInfo]]
    """By status, newest first."""


def info_of(store: Store, found: look.Found) -> JobInfo:
    """A job as the store found it."""
    return infos_of(store, [found])[0]


def infos_of(store: Store, found: Sequence[look.Found]) -> list[JobInfo]:
    """Jobs as the store found them."""
    return [_info(one, details) for one, details in zip(found, shown.details(store, found), strict=True)]


def queue_infos_of(store: Store, queues: Sequence[lists.QueueJobs]) -> list[QueueInfo]:
    """Queues as the store counted them, with the jobs that it found."""
    found = [job for queue in queues for jobs in queue.jobs.values() for job in jobs]
    made = iter(infos_of(store, found))
    infos = []
    for queue in queues:
        stats = {str(status): number for status, number in queue.stats.items()}
        stats["total"] = sum(stats.values())
        jobs = {str(status): [next(made) for _ in some] for status, some in queue.jobs.items()}
        infos.append(QueueInfo(queue.name, queue.paused, stats, jobs))
    return infos


def _info(found: look.Found, details: shown.Details) -> JobInfo:
    fields = msgspec.structs.asdict(shown.row(found))
    for name in ("enqueued_at", "started_at", "finished_at"):
        if fields[name] is not None:
            fields[name] = utc(fields[name])
    return JobInfo(
        **fields,
        data=details.data,
        logs=[LogEntry(utc(at), message) for at, message in details.lines],
        progress=None if details.progress is None else Progress(*details.progress),
        errors=[ErrorInfo(e.attempt, utc(e.at), e.type, e.message, e.traceback) for e in shown.errors(found)],
        children=details.children,
    )


def utc(seconds: float) -> datetime:
    """Unix seconds, as users see them."""
    return datetime.fromtimestamp(seconds, UTC)
