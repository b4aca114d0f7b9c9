"""Many jobs, and the queues, for people to look at: lists, newest first. Nothing changes.

Nothing is read that is not shown, but for what a filter leaves out: the sources (a queue's lists, the histories …) are
merged, and each is read from its newest end in growing steps. A cursor holds a mark for each source that was begun. A
namespace at work changes while it is read: lists are as true as they can be in that case.
"""

from __future__ import annotations

import base64
import heapq
import math
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from operator import itemgetter
from typing import NamedTuple

import msgspec

from tempotask.errors import InvalidOptions
from tempotask.names import check_name, short
from tempotask.store.look import Found
from tempotask.store.reading import STEP, Command, claims, decode_head, queue_names
from tempotask.store.records import FINISHED, STATUSES, Status
from tempotask.store.sources import History, Later, Line, Mark, Queue, Step, mark, paused, processing, read, whole
from tempotask.store.store import Store
from tempotask.store.values import number, text

FIRST, FIRSTS = 16, 1600
"""Records that are read at first of a list: at least, and of all lists together."""
LATER = ("due", "retries")
"""The sorted sets of delayed jobs."""
AGAIN = " again"
"""What names a source that is read a second time."""
LONGEST = 1 << 24
"""Bytes of what a cursor says, at most."""


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


class Filter(NamedTuple):
    """Which jobs are meant; None is any."""

    queue: str | None = None
    status: Status | None = None
    name: str | None = None

    @classmethod
    def of(cls, queue: str | None, status: str | None, name: str | None) -> Filter:
        """What somebody asks for, checked. Raises `InvalidName`, `InvalidOptions`."""
        return cls(
            None if queue is None else check_name("queue", queue),
            None if status is None else status_of(status),
            None if name is None else check_name("task", name),
        )

    def any_of(self, *statuses: Status) -> bool:
        """Whether jobs of one of these statuses are meant."""
        return self.status is None or self.status in statuses

    def fits(self, found: Found) -> bool:
        """Whether that job is meant; its status is not asked again."""
        record = found.record
        return record is not None and self.queue in (None, record.queue) and self.name in (None, record.name)


class Counted(NamedTuple):
    """What the counters say of a queue."""

    row: QueueRow
    kept: dict[Status, int]
    """How many finished jobs its history keeps."""
    trimmed: dict[Status, int]
    """How many more the last page of its history holds, which do not count."""
    keys: list[str]
    """Of its lists, those of higher priorities first; empty lists too."""

    def stats(self) -> dict[Status, int]:
        """How many jobs there are now, finished ones as far as history keeps them."""
        row = self.row
        return {"waiting": row.waiting, "delayed": row.delayed, "processing": row.processing, **self.kept}


class QueueJobs(NamedTuple):
    """A queue with its newest jobs."""

    name: str
    paused: bool
    stats: dict[Status, int]
    jobs: dict[Status, list[Found]]


def status_of(status: object) -> Status:
    """`status`, if there is one of this name; else `InvalidOptions`."""
    if status not in STATUSES:
        raise InvalidOptions(f"there is no status {status!r}; there are {', '.join(STATUSES)}")
    return status


# -- jobs


def jobs(
    store: Store,
    queue: str | None = None,
    status: str | None = None,
    name: str | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> tuple[list[Found], str | None]:
    """The newest jobs, finished ones by when they ended, the others by when they were added; and where to go on.

    `cursor` is what an earlier call returned; None when there are no more. A job that moves between two calls may be
    shown twice, or not. Raises `InvalidName`, `InvalidOptions`, `ServerUnavailable`.
    """
    wanted = Filter.of(queue, status, name)
    marks = {} if cursor is None else _read_cursor(cursor)
    shown = _Met()
    passed: dict[str, Step] = {}
    sources = [_placed(name, steps) for name, steps in _sources(store, wanted, marks).items()]
    for _, source, step in heapq.merge(*sources, key=itemgetter(0), reverse=True):
        if wanted.fits(step[0]):
            if len(shown) == limit and _run_of(step[0]) not in shown:
                marks.update((name, mark(step)) for name, step in passed.items() if not name.endswith(AGAIN))
                return _in_order(shown.values()), _written(marks)
            shown.meet(step[0])
        passed[source] = step
    return _in_order(shown.values()), None


def newest(store: Store, most: int) -> list[QueueJobs]:
    """All queues, by name, each with its newest jobs, at most so many of each status."""
    counted = measured(store)
    queues = {one.row.name: QueueJobs(one.row.name, one.row.paused, one.stats(), _nothing()) for one in counted}
    for job in _in_order(_newest(store, counted, most) if most > 0 else ()):
        assert job.record is not None
        if (queue := queues.get(job.record.queue)) is not None and len(queue.jobs[job.status]) < most:
            queue.jobs[job.status].append(job)
    return list(queues.values())


def _newest(store: Store, counted: Sequence[Counted], most: int) -> Iterable[Found]:
    """At least the newest of each queue and status, at most so many, each job once."""
    met = _Met()

    def meet(source: Iterator[Step], most: int) -> None:
        for job, _ in islice(source, most):
            if job.record is not None:
                met.meet(job)

    # One place for all queues: what lies far behind in a long one is not looked for.
    far = max(10 * STEP, most)
    # The way that jobs go, as in `_sources`.
    for source in (whole(islice(paused(store), far)), *read(store, [Later(name) for name in LATER])):
        meet(source, far)
    for source in read(store, _queues(counted)):
        meet(source, most)
    for job in processing(store):
        met.meet(job)
    for source in read(store, [Later(name) for name in LATER]):
        meet(source, far)
    for source in read(store, _histories(counts(store, [one.row.name for one in counted]), FINISHED)):
        meet(source, most)
    return met.values()


def _nothing() -> dict[Status, list[Found]]:
    return {status: [] for status in STATUSES}


class _Met(dict[tuple[str, float], Found]):
    """Jobs that were met, by their runs: an id may come again."""

    def meet(self, job: Found) -> None:
        """One that has moved meanwhile is met twice, and is where it has come to."""
        run = _run_of(job)
        self[run] = max(job, self.get(run, job), key=lambda one: STATUSES.index(one.status))


def _run_of(job: Found) -> tuple[str, float]:
    assert job.record is not None
    return job.record.id, job.record.enqueued_at


def _in_order(jobs: Iterable[Found]) -> list[Found]:
    """The newest first."""
    return sorted(jobs, key=_age, reverse=True)


def _age(found: Found) -> tuple[float, str, int]:
    """What places a job: its time, and among those that were added together the number that its id ends with."""
    call, _, number = found.id.rpartition("-")
    return (found.at, call, int(number)) if number.isdecimal() and len(number) < 10 else (found.at, found.id, 0)


def _read_cursor(cursor: object) -> dict[str, Mark]:
    """How far each source was read that has been begun."""
    try:
        packed = zlib.decompressobj().decompress(base64.b64decode(str(cursor), b"-_", validate=True), LONGEST)
        marks = msgspec.msgpack.decode(packed, type=dict[str, Mark])
        if all(math.isfinite(mark.at) for mark in marks.values()):
            return marks
    except (ValueError, zlib.error, msgspec.MsgspecError):
        pass
    raise InvalidOptions(f"cursor={short(cursor)}: give what the call before returned as its cursor")


def _written(marks: dict[str, Mark]) -> str:
    return base64.urlsafe_b64encode(zlib.compress(msgspec.msgpack.encode(marks))).decode()


def _sources(store: Store, wanted: Filter, marks: Mapping[str, Mark]) -> dict[str, Iterator[Step]]:
    """Where such jobs are, by name; each from its mark on, and roughly newest first."""
    names = None if wanted.queue is None else [wanted.queue]
    sources: dict[str, Iterator[Step]] = {}

    def begin(lines: Sequence[Line], time: str = "") -> None:
        sources.update(zip((line.name + time for line in lines), read(store, lines, marks), strict=True))

    # The way that jobs go: one that moves meanwhile is met twice, and not missed. Tries that failed go back.
    if wanted.any_of("waiting", "delayed"):
        some = (found for found in paused(store) if wanted.any_of(found.status))
        sources["parked"] = whole(some, marks.get("parked"))
    if wanted.any_of("delayed"):
        begin([Later(name) for name in LATER])
    if wanted.any_of("waiting"):
        begin(_queues(counts(store, names), None if wanted.name is None else wanted.name.encode()))
    if wanted.any_of("processing"):
        sources["workers"] = whole(processing(store), marks.get("workers"))
    if wanted.any_of("processing") and wanted.any_of("delayed") and not marks:
        begin([Later(name) for name in LATER], AGAIN)
    if ended := [status for status in FINISHED if wanted.any_of(status)]:
        begin(_histories(counts(store, names), ended))
    return sources


def _queues(counted: Iterable[Counted], needle: bytes | None = None) -> list[Queue]:
    keys = [key for one in counted for key in one.keys]
    return [Queue(key, max(FIRST, FIRSTS // len(keys)), needle) for key in keys]


def _histories(counted: Iterable[Counted], statuses: Sequence[Status]) -> list[Line]:
    """Those that keep something."""
    return [
        History(one.row.name, status, one.trimmed[status])
        for one in counted
        for status in statuses
        if one.kept[status] > 0
    ]


def _placed(name: str, steps: Iterator[Step]) -> Iterator[tuple[float, str, Step]]:
    """Each job with the time that places it. What is newer than one before it takes that one's place, so that the
    places only go down and a merge is right."""
    lowest = math.inf
    for step in steps:
        lowest = min(lowest, step[0].at)
        yield lowest, name, step


# -- queues


def queues(store: Store) -> list[QueueRow]:
    """Every queue that ever had a job, or was paused, by name. Raises `ServerUnavailable`."""
    return [one.row for one in measured(store)]


def measured(store: Store) -> list[Counted]:
    """Every queue that ever had a job, or was paused, by name, with all that is counted, and what its workers hold."""
    counted = counts(store)
    rows = {one.row.name: one.row for one in counted}
    keys = [(one.row, key) for one in counted for key in one.keys]
    commands: list[Command] = [("LLEN", key) for _, key in keys]
    # A hole may be in front.
    commands += [("LRANGE", key, 0, 1) for _, key in keys]
    replies = store.read_many(commands)
    now = store.now()
    for (row, _), length, front in zip(keys, replies, replies[len(keys) :], strict=False):
        row.waiting += length
        # One that can't be read was added at no known time.
        if (first := next(filter(None, front), None)) and (added := decode_head(first).enqueued_at):
            row.oldest_seconds = max(row.oldest_seconds or 0.0, now - added)
    for row in rows.values():
        row.waiting = max(0, row.waiting)
    for _, records in claims(store):
        for record in records:
            if (row_ := rows.get(decode_head(record).queue)) is not None:
                row_.processing += 1
    return counted


def counts(store: Store, names: Sequence[str] | None = None) -> list[Counted]:
    """What the counters say of these queues, of all if None; of those waiting only how many more or fewer there are
    than elements in the queues' lists."""
    if names is None:
        names = queue_names(store)
    commands: list[Command] = [("HGETALL", f"counts:{name}") for name in names]
    commands += [("ZREVRANGE", f"priorities:{name}", 0, -1) for name in names]
    commands.append(("SMEMBERS", "paused"))
    replies = store.read_many(commands)
    paused = set(map(text, replies[-1]))
    counted = []
    for i, name in enumerate(names):
        # What is no number is for `check` to tell.
        told = {text(field): number(text(value)) for field, value in replies[i].items()}
        row = QueueRow(name=name, paused=name in paused)
        row.waiting = told.get("parked", 0) - told.get("holes", 0)
        row.delayed = told.get("delayed", 0) + told.get("retries", 0)
        for status in FINISHED:
            setattr(row, status, told.get(status, 0))
        kept = {status: told.get(f"{status}:kept", 0) for status in FINISHED}
        priorities = [text(priority) for priority in replies[len(names) + i]] or ["0"]
        keys = [f"queue:{priority}:{name}" for priority in priorities]
        trimmed = {status: told.get(f"{status}:trimmed", 0) for status in FINISHED}
        counted.append(Counted(row, kept, trimmed, keys))
    return counted
