"""What is shown of jobs that were found: a line of a list, and what lists leave out. Nothing changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from tempotask.store.look import Found
from tempotask.store.reading import Command
from tempotask.store.records import FINISHED, Failure, Progress, Status, TryError, flag, level, payload_key, plain
from tempotask.store.said import lines_of, live_of
from tempotask.store.store import Store


class JobRow(msgspec.Struct, kw_only=True):
    """A job as one line of a list. Times are Unix seconds; None is what is not known, or not so yet."""

    id: str
    name: str
    queue: str
    status: Status
    paused: bool = False
    priority: int | None = None
    tries: int | None = None
    """Tries begun so far."""
    enqueued_at: float | None = None
    started_at: float | None = None
    finished_at: float | None = None
    wait_seconds: float | None = None
    run_seconds: float | None = None
    cpu_seconds: float | None = None
    peak_memory_bytes: int | None = None
    worker: str | None = None
    host: str | None = None
    parent: str | None = None
    error: str | None = None
    result: Any = None


def row(found: Found) -> JobRow:
    """What lists show of a job."""
    record, outcome, job, page = found.record, found.outcome, found.finished, found.page
    failure = job.failure if job else outcome.failure if outcome else None
    if record is not None and record.errors and found.status not in FINISHED:
        # Why it is tried once more.
        failure = Failure(record.errors[-1].type, record.errors[-1].message)
    result = job.result if job else outcome.result if outcome else None
    shown = JobRow(
        id=found.id,
        name=record.name if record else outcome.name if outcome else "",
        queue=record.queue if record else outcome.queue if outcome else "",
        status=found.status,
        paused=found.paused,
        started_at=found.started,
        worker=found.worker,
        host=found.host,
        error=(f"{failure.type}: {failure.message}" if failure.message else failure.type) if failure else None,
        result=None if result is None else plain(result),
    )
    if record is not None:
        shown.priority = level(record.priority)
        # One that was cancelled while it waited was never begun; while a worker had it, it was as far as is known.
        begun = found.status == "processing" or (job is not None and job.started is not None)
        begun = begun or (found.status == "cancelled" and found.worker is not None)
        shown.tries = record.tries + begun
        # A schedule that a task declares was never added.
        declared = found.schedule is not None and not found.schedule.added
        # Of one that can't be read, when it was is not known.
        shown.enqueued_at = None if declared else record.enqueued_at or None
        shown.parent = record.parent
        if found.started is not None and shown.enqueued_at is not None:
            shown.wait_seconds = max(0.0, found.started - record.enqueued_at)
    if job is not None and page is not None and record is not None:
        shown.finished_at = job.ended + page.epoch
        if job.started is not None:
            shown.run_seconds = max(0.0, job.ended - job.started)
        shown.cpu_seconds = job.cpu_seconds
        shown.peak_memory_bytes = job.peak_memory_bytes
    return shown


class Details(NamedTuple):
    """What lists do not show of a job."""

    data: Any
    """The payload as plain data; None as well when it has been let go."""
    lines: list[tuple[float, Any]]
    """What all its tries logged: Unix seconds and message, oldest first."""
    progress: Progress | None
    children: list[str]
    """Ids of the jobs that its tries added."""


def details(store: Store, found: Sequence[Found]) -> list[Details]:
    """What lists do not show of some jobs, read at once."""
    outside = {one.id: payload_key(one.record) for one in found if one.record is not None and flag(one.record, "p")}
    running = [one.id for one in found if one.status == "processing"]
    commands: list[Command] = [("LRANGE", f"log:{one.id}", 0, -1) for one in found]
    commands += [("GET", key) for key in outside.values()]
    commands += [("HGET", "live", id) for id in running]
    replies = store.read_many(commands)
    logs, others = replies[: len(found)], iter(replies[len(found) :])
    payloads = {id: next(others) for id in outside}
    live = {id: next(others) for id in running}
    told = []
    for one, log in zip(found, logs, strict=True):
        payload = payloads.get(one.id) if one.id in outside else None if one.record is None else one.record.payload
        data = None if payload is None else plain(payload)
        attempt = 1 if one.record is None else one.record.tries + 1
        now, last = live_of(live.get(one.id), one.worker, attempt), one.finished
        progress = last.progress if last is not None else now.progress if now is not None else None
        lines = lines_of(log, last.lines if last is not None else None)
        before = None if one.record is None else one.record.children
        added = last.children if last is not None else now.children if now is not None else None
        told.append(Details(data, lines, progress, [*(before or ()), *(added or ())]))
    return told


def errors(found: Found) -> list[TryError]:
    """Those that the record carries from try to try, and that of the last, which ended the job."""
    record, job, page = found.record, found.finished, found.page
    if record is None:
        return []
    told = list(record.errors or ())
    if found.status == "failed" and job is not None and page is not None and (last := job.failure) is not None:
        told.append(TryError(record.tries + 1, job.ended + page.epoch, last.type, last.message, last.traceback))
    return told
