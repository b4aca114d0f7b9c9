"""Looking at a namespace, for people: one job, many jobs, the queues. Nothing changes.

All is read in bounded steps, so that a look never holds the server up, and a namespace at work changes while it is
read: lists are as true as they can be in that case. Only `find` promises more, since others build on its "nowhere".
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple, cast, get_args

import msgspec

from tempotask.errors import InvalidOptions
from tempotask.store.reading import (
    STEP,
    claims,
    decode_head,
    histories,
    open_turns,
    pages,
    pipe,
    present,
    queue_keys,
    queue_names,
    scored,
    workers,
)
from tempotask.store.records import (
    FINISHED,
    Failure,
    Finished,
    Outcome,
    Page,
    Record,
    Status,
    decode_outcome,
    decode_page,
    decode_record,
    flag,
    plain,
)
from tempotask.store.store import Store

LOOKS = 100
"""A job that moves away so many times in a row counts as not found."""
WINDOW = 200
"""How far from their place records may stand in a list that is shown newest first."""

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
    """Unix seconds; known of finished jobs."""
    due: float | None = None
    """Unix seconds from which a delayed one may run."""
    finished: Finished | None = None
    page: Page | None = None
    """The page of history that `finished` stands on: worker, host and epoch."""
    outcome: Outcome | None = None

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


class QueueRow(msgspec.Struct, kw_only=True):
    """A queue as one line of a list. The last three are counted since the queue exists."""

    name: str
    paused: bool = False
    waiting: int = 0
    delayed: int = 0
    processing: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    oldest_seconds: float | None = None
    """How long the first in line has been there; None when nothing waits."""


# -- one job


def find(store: Store, id: str) -> Found | None:
    """The newest run of a job, wherever it is; None if nobody knows it.

    Raises `ServerUnavailable`.
    """
    for _ in range(LOOKS):
        mark = store.run("find", id, "mark")
        try:
            unfinished, ended = _unfinished(store, id), None
            if unfinished is None:
                ended = _ended(store, id)
        finally:
            moved = store.run("find", id, "unmark", mark) == b"1"
        # An ending that is found may be an earlier run's, while this one slipped by.
        if unfinished is not None or not moved:
            return unfinished or ended
    return None


def _unfinished(store: Store, id: str) -> Found | None:
    """Looks at queues, claims, delayed records in this order: moves the other way change the mark that `find` set."""
    given = store.read("HGET", "ids", id)
    keys = queue_keys(store, [given.decode()] if given else queue_names(store))
    # One that is empty now gets this job only by a move that changes the mark.
    for key in present(store, keys):
        if record := _in_list(store, id, key):
            return Found(id, "waiting", decode_record(record))
    if found := _in_claims(store, id):
        return found
    for name in ("due", "retries"):
        for first in range(0, store.read("ZCARD", name) + STEP, STEP):
            if record := store.run("find", id, "set", name, first, first + STEP - 1):
                due = store.read("ZSCORE", name, record)
                # Without a score it has just moved on; the mark knows.
                return Found(id, "delayed", decode_record(record), due=float(due) / 1000) if due is not None else None
    return None


def _in_list(store: Store, id: str, key: str) -> bytes | None:
    """From the tail, since heads are popped and tails appended; until the list ends before the next page."""
    seen = 0
    while seen == 0 or seen < store.read("LLEN", key):
        if record := store.run("find", id, "list", key, -seen - STEP, -seen - 1):
            return cast(bytes, record)
        seen += STEP
    return None


def _in_claims(store: Store, id: str) -> Found | None:
    names = workers(store)
    for _ in range(LOOKS):
        before = open_turns(store, names)
        for worker, turn in zip(names, before, strict=True):
            if turn and (record := store.run("find", id, "list", f"claims:{worker}:{turn}", 0, -1)):
                return Found(id, "processing", decode_record(record), worker)
        # What was left of a batch is delivered again under the name of the next turn, maybe just behind our back.
        after = open_turns(store, names)
        names = [name for name, old, new in zip(names, before, after, strict=True) if new and new != old]
        if not names:
            return None
    return None


def _ended(store: Store, id: str) -> Found | None:
    """From the outcome, which is the newest run's, and the history, which tells more and may be shorter or longer."""
    (encoded,) = store.ask("", [id])
    outcome = decode_outcome(encoded) if encoded else None
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
                    return _finished(job, page, key)
    return None


def _finished(job: Finished, page: Page, key: str) -> Found:
    status = cast(Status, key.rpartition(":")[2])
    started = job.started + page.epoch
    return Found(job.record.id, status, job.record, page.worker, started=started, finished=job, page=page)


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
        started_at=found.started,
        worker=found.worker,
        error=(f"{failure.type}: {failure.message}" if failure.message else failure.type) if failure else None,
        result=None if result is None else plain(result),
    )
    if record is not None:
        shown.priority = int(record.priority)
        shown.tries = record.tries + (found.status in (*FINISHED, "processing"))
        shown.enqueued_at = record.enqueued_at
        shown.parent = record.parent
    if job is not None and page is not None and record is not None:
        shown.finished_at = job.ended + page.epoch
        shown.wait_seconds = max(0.0, job.started + page.epoch - record.enqueued_at)
        shown.run_seconds = max(0.0, job.ended - job.started)
        shown.cpu_seconds = job.cpu_seconds
        shown.peak_memory_bytes = job.peak_memory_bytes
        shown.host = page.host
    return shown


def logs(found: Found) -> list[tuple[float, Any]]:
    """What the last try of a finished job logged: Unix seconds and message, oldest first."""
    lines = found.finished.lines if found.finished else None
    return [(at, message) for at, message in map(plain, lines or ())]


def data(store: Store, record: Record) -> Any:
    """The payload of a job as plain data; None as well when it has been let go."""
    if not flag(record, "p"):
        return plain(record.payload)
    outside = store.read("GET", f"payload:{record.id}")
    return None if outside is None else msgspec.msgpack.decode(outside)


# -- many jobs


def jobs(
    store: Store,
    queue: str | None = None,
    status: str | None = None,
    name: str | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> tuple[list[Found], str | None]:
    """The newest jobs, finished ones by when they ended, the others by when they were added; and where to go on.

    `cursor` is what an earlier call returned. A job that moves between two calls may be shown twice, or not.
    Raises `InvalidOptions`, `ServerUnavailable`.
    """
    if status is not None and status not in STATUSES:
        raise InvalidOptions(f"there is no status {status!r}; there are {', '.join(STATUSES)}")
    before = _read_cursor(cursor) if cursor is not None else None
    names = queue_names(store) if queue is None else [queue]
    wanted, sources = frozenset(names), _sources(store, names, status)
    shown: list[Found] = []
    for found in heapq.merge(*map(_newest_first, sources), key=_place, reverse=True):
        if before is not None and _place(found) >= before:
            continue
        record = found.record
        if record is None or (name is not None and record.name != name) or record.queue not in wanted:
            continue
        if len(shown) == limit:
            return shown, f"{shown[-1].at!r}/{shown[-1].id}" if shown else None
        shown.append(found)
    return shown, None


def _place(found: Found) -> tuple[float, str]:
    return found.at, found.id


def _read_cursor(cursor: str) -> tuple[float, str]:
    at, _, id = cursor.partition("/")
    try:
        return float(at), id
    except ValueError:
        raise InvalidOptions(f"cursor={cursor!r}: give what the call before returned as its cursor") from None


def _sources(store: Store, queues: Sequence[str], status: str | None) -> list[Iterator[Found]]:
    """Where jobs of that status are, each roughly newest first."""
    sources: list[Iterator[Found]] = []
    if status in (None, "waiting"):
        sources += [_waiting(store, key) for key in present(store, queue_keys(store, queues))]
    if status in (None, "delayed"):
        sources += [_delayed(store, name) for name in ("due", "retries")]
    if status in (None, "processing"):
        sources.append(_processing(store))
    ended = [status] if status in FINISHED else FINISHED if status is None else []
    return sources + [_history(store, key) for key in histories(store, queues, ended)]


def _newest_first(source: Iterator[Found]) -> Iterator[Found]:
    """Puts what stands a little out of place where it belongs."""
    ahead: list[tuple[float, int, Found]] = []
    for number, found in enumerate(source):
        heapq.heappush(ahead, (-found.at, number, found))
        if len(ahead) > WINDOW:
            yield heapq.heappop(ahead)[2]
    while ahead:
        yield heapq.heappop(ahead)[2]


def _waiting(store: Store, key: str) -> Iterator[Found]:
    for record in map(decode_record, _backwards(store, key)):
        yield Found(record.id, "waiting", record)


def _backwards(store: Store, key: str) -> Iterator[bytes]:
    """The elements of a list from its tail, without holes."""
    seen, step = 0, 2 * WINDOW
    while records := store.read("LRANGE", key, -seen - step, -seen - 1):
        yield from filter(None, reversed(records))
        seen, step = seen + step, STEP


def _delayed(store: Store, name: Literal["due", "retries"]) -> Iterator[Found]:
    for stored, score in scored(store, name):
        record = decode_record(stored)
        yield Found(record.id, "delayed", record, due=score / 1000)


def _processing(store: Store) -> Iterator[Found]:
    for worker, _, records in claims(store):
        for record in map(decode_record, records):
            yield Found(record.id, "processing", record, worker)


def _history(store: Store, key: str) -> Iterator[Found]:
    for page in map(decode_page, pages(store, key)):
        for job in reversed(page.jobs):
            yield _finished(job, page, key)


# -- queues


def queues(store: Store) -> list[QueueRow]:
    """Every queue that ever had a job, by name. Raises `ServerUnavailable`."""
    rows = {name: QueueRow(name=name) for name in queue_names(store)}
    now = store.now()
    for shown, counts in zip(rows.values(), pipe(store, [("HGETALL", f"counts:{name}") for name in rows]), strict=True):
        for field in ("delayed", *FINISHED):
            setattr(shown, field, int(counts.get(field.encode(), 0)))
    keys = queue_keys(store, list(rows))
    lengths = pipe(store, [("LLEN", key) for key in keys])
    for key, length, first in zip(keys, lengths, pipe(store, [("LINDEX", key, 0) for key in keys]), strict=True):
        shown = rows[key.split(":", 2)[2]]
        shown.waiting += length
        if first:
            shown.oldest_seconds = max(shown.oldest_seconds or 0.0, now - decode_head(first).enqueued_at)
    for stored, _ in scored(store, "retries"):
        if row_ := rows.get(decode_head(stored).queue):
            row_.delayed += 1
    for _, _, records in claims(store):
        for record in records:
            if row_ := rows.get(decode_head(record).queue):
                row_.processing += 1
    return list(rows.values())
