"""Looking for one job, wherever it is, and what is shown of it. Nothing changes.

All is read in bounded steps, so that a look never holds the server up. A job may move meanwhile; `find` finds it all
the same, since others build on its "nowhere". Many jobs at once, and the queues: lists.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast, get_args

import msgspec

from tempotask.store import schedules
from tempotask.store.pages import Page, decode_page
from tempotask.store.reading import (
    COUNT,
    STEP,
    Command,
    histories,
    host_of,
    open_turns,
    pages,
    present,
    queue_keys,
    queue_names,
    workers,
)
from tempotask.store.records import (
    FINISHED,
    Failure,
    Finished,
    Outcome,
    Progress,
    Record,
    Status,
    TryError,
    decode_outcome,
    decode_record,
    flag,
    level,
    payload_key,
    plain,
)
from tempotask.store.said import lines_of, live_of
from tempotask.store.schedules import Planned
from tempotask.store.script import Argument, text
from tempotask.store.store import Store

LOOKS = 100
"""A job that moves away so many times in a row counts as not found, and is left alone; of one that was seen ended each
time, that is told."""

STATUSES: tuple[Status, ...] = get_args(Status)


class Found(NamedTuple):
    """A job, wherever it is."""

    id: str
    status: Status
    record: Record | None = None
    """None when only its outcome is left."""
    worker: str | None = None
    """Which worker holds it, or ran it last."""
    started: float | None = None
    """Unix seconds; known of finished jobs, and of those that have been running for a while."""
    host: str | None = None
    """That of the worker."""
    due: float | None = None
    """Unix seconds from which a delayed one may run."""
    finished: Finished | None = None
    page: Page[Any] | None = None
    """The page of history that `finished` stands on."""
    outcome: Outcome | None = None
    schedule: Planned | None = None
    """What is called so, when that is a schedule and no job."""
    paused: bool = False
    """Whether the job is paused on its own."""
    place: tuple[Argument, ...] = ()
    """Where `find` saw it: in the words of act.lua, or `page` and that page of history as it is stored."""

    @property
    def at(self) -> float:
        """What lists are sorted by, in Unix seconds: when it ended, else when it was added."""
        if self.finished is not None and self.page is not None:
            return self.finished.ended + self.page.epoch
        return self.record.enqueued_at if self.record is not None else 0.0


class JobRow(msgspec.Struct, kw_only=True):
    """A job as one line of a list. Times are Unix seconds; None is what is not known, or not so yet."""

    id: str
    name: str
    queue: str
    status: Status
    paused: bool = False
    priority: int = 0
    tries: int = 0
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


# -- one job


def find(store: Store, id: str) -> Found | None:
    """The newest run of a job, wherever it is; None if nobody knows it.

    Raises `ServerUnavailable`.
    """
    scheduled = schedules.get(store, id)
    if scheduled is not None and scheduled.added:
        return _scheduled(scheduled)
    ended = None
    for _ in range(LOOKS):
        mark = store.run("find", id, "mark")
        try:
            unfinished = _unfinished(store, id)
            ended = _ended(store, id) if unfinished is None else None
        finally:
            moved = store.run("find", id, "unmark", mark) == b"1"
        # An ending that is found may be an earlier run's, while this one slipped by.
        if unfinished is not None or not moved:
            break
    found = unfinished or ended
    # One that is declared is called like its task, as a job may be too.
    return _scheduled(scheduled) if found is None and scheduled is not None else found


def _unfinished(store: Store, id: str) -> Found | None:
    """Looks at queues, claims, delayed and paused jobs in this order: moves the other way change `find`'s mark."""
    given = store.read("HGET", "ids", id)
    keys = queue_keys(store, [text(given)] if given else queue_names(store))
    # One that is empty now gets this job only by a move that changes the mark.
    for key in present(store, keys):
        if found := _in_list(store, id, key):
            return found
    if found := _in_claims(store, id):
        return found
    for name in ("due", "retries"):
        for first in range(0, store.read("ZCARD", name) + STEP, STEP):
            if record := store.run("find", id, "set", name, first, first + STEP - 1):
                score = store.read("ZSCORE", name, record)
                if score is None:
                    return None  # it has just moved on; the mark knows
                place = ("set", name, max(0, first - STEP), COUNT)
                return Found(id, "delayed", decode_record(record), due=float(score) / 1000, place=place)
    stored = store.read("HGET", "parked", id)
    return parked(id, stored) if stored else None


def _scheduled(planned: Planned) -> Found | None:
    if planned.schedule is None or not planned.next:
        return None
    record = planned.schedule.record(planned.id, planned.schedule.added_at or 0.0)
    return Found(planned.id, "delayed", record, due=planned.next / 1000, schedule=planned)


def _in_list(store: Store, id: str, key: str) -> Found | None:
    """From the tail, since heads are popped and tails appended; until the list ends before the next page."""
    seen = 0
    while seen == 0 or seen < store.read("LLEN", key):
        if record := store.run("find", id, "list", key, -seen - STEP, -seen - 1):
            return Found(id, "waiting", decode_record(record), place=("list", key, seen, COUNT))
        seen += STEP
    return None


def _in_claims(store: Store, id: str) -> Found | None:
    names = workers(store)
    for _ in range(LOOKS):
        before = open_turns(store, names)
        for worker, turn in zip(names, before, strict=True):
            if turn and (record := store.run("find", id, "list", f"claims:{worker}:{turn}", 0, -1)):
                return claimed(decode_record(record), worker, host_of(store, worker), store.read("HGET", "live", id))
        # What was left of a batch is delivered again under the name of the next turn, maybe just behind our back.
        after = open_turns(store, names)
        names = [name for name, old, new in zip(names, before, after, strict=True) if new and new != old]
        if not names:
            return None
    return None


def claimed(record: Record, worker: str, host: str | None, live: bytes | None) -> Found:
    """A job that a worker of that host holds; `live` is what the server has of it while it runs."""
    told = live_of(live, worker, record.tries + 1)
    started = told.started if told is not None else None
    return Found(record.id, "processing", record, worker, started, host=host, place=("claims", worker))


def parked(id: str, stored: bytes) -> Found:
    """A job that is paused on its own, as `parked` keeps it: a letter, the time if it was delayed, the record."""
    when, _, record = stored.partition(b" ")
    status: Status = "waiting" if when.startswith(b"W") else "delayed"
    due = int(when[1:]) / 1000 if status == "delayed" and when[1:].isdigit() else None
    return Found(id, status, decode_record(record), due=due, paused=True, place=("parked", "", COUNT, "WDR"))


def _ended(store: Store, id: str) -> Found | None:
    """From the outcome, which is the newest run's, and the history, which tells more and may be shorter or longer."""
    (encoded,) = store.outcomes_of([id])
    outcome = decode_outcome(encoded) if encoded else None
    if outcome is not None and outcome.is_of_a_deleted_job:
        outcome = None
    if outcome is not None:
        keys = [f"history:{outcome.queue}:{outcome.status}"]
    else:
        keys = histories(store, queue_names(store), FINISHED)
    runs = [run for key in keys if (run := _in_history(store, id, key))]
    if runs:
        return max(runs, key=lambda run: run.at)._replace(outcome=outcome)
    return Found(id, outcome.status, outcome=outcome) if outcome is not None else None


def _in_history(store: Store, id: str, key: str) -> Found | None:
    needle = id.encode()
    for stored in pages(store, key):
        if needle in stored:
            page = decode_page(stored)
            for job in reversed(page.jobs):
                if job.record.id == id:
                    found = finished(job, page, cast(Status, key.rpartition(":")[2]))
                    return found._replace(place=("page", stored))
    return None


def finished(job: Finished, page: Page[Any], status: Status) -> Found:
    """A finished job, as a page of history tells of it."""
    started = None if job.started is None else job.started + page.epoch
    host = page.host or None
    return Found(job.record.id, status, job.record, page.worker or None, started, host=host, finished=job, page=page)


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
