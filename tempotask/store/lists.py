"""Many jobs, and the queues, for people to look at: lists, newest first. Nothing changes.

Nothing is read that is not shown, but for what a filter leaves out: the sources (a queue's lists, the histories …) are
merged, and each is read from its newest end in growing steps. A namespace at work changes while it is read: lists are
as true as they can be in that case.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, zip_longest
from operator import itemgetter
from typing import NamedTuple

import msgspec

from tempotask.errors import InvalidOptions
from tempotask.store.look import STATUSES, Found, claimed, finished, parked
from tempotask.store.pages import decode_raw_page, newest_first
from tempotask.store.reading import (
    PAGES,
    STEP,
    Command,
    claims,
    decode_head,
    pipe,
    queue_names,
    scanned,
    scores,
)
from tempotask.store.records import FINISHED, Status, decode_record
from tempotask.store.store import Store

FIRST, FIRSTS = 16, 1600
"""Records that are read at first of a list: at least, and of all lists together."""

Source = Iterator[Found]


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
    """How many finished jobs its history holds."""
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
    shown twice, or not. Raises `InvalidOptions`, `ServerUnavailable`.
    """
    wanted = Filter(queue, None if status is None else status_of(status), name)
    before, passed = _read_cursor(cursor) if cursor is not None else (math.inf, 0)
    shown: list[Found] = []
    last, same = before, passed
    sources = _sources(store, wanted, before)
    for at, found in heapq.merge(*map(_descending, sources), key=itemgetter(0), reverse=True):
        if at > before or not wanted.fits(found):
            continue
        if at == before and passed > 0:
            passed -= 1
            continue
        if len(shown) == limit:
            return shown, f"{last!r}/{same}"
        shown.append(found)
        # A thousand jobs of one call have the same time: how many of them were shown says where to go on.
        last, same = at, same + 1 if at == last else 1
    return shown, None


def newest(store: Store, most: int) -> list[QueueJobs]:
    """All queues, by name, each with its newest jobs, at most so many of each status."""
    counted = measured(store)
    queues = {one.row.name: QueueJobs(one.row.name, one.row.paused, one.stats(), _nothing()) for one in counted}

    def put(jobs: Iterable[Found]) -> None:
        for job in jobs:
            if job.record is not None and (queue := queues.get(job.record.queue)) is not None:
                queue.jobs[job.status].append(job)

    if most > 0:
        for source in _waiting(store, [key for one in counted for key in one.keys], min(most, STEP)):
            put(islice(source, most))
        put(_processing(store))
        for source in (*_delayed(store), _parked(store)):
            # One place for all queues: what lies far behind in a long one is not looked for.
            put(islice(source, max(10 * STEP, most)))
        for source in _histories(store, _kept(counted, FINISHED)):
            put(islice(source, most))
    for queue in queues.values():
        for status, some in queue.jobs.items():
            queue.jobs[status] = sorted(some, key=_at, reverse=True)[:most]
    return list(queues.values())


def _nothing() -> dict[Status, list[Found]]:
    return {status: [] for status in STATUSES}


def _at(found: Found) -> float:
    return found.at


def _read_cursor(cursor: str) -> tuple[float, int]:
    at, _, passed = str(cursor).partition("/")
    try:
        return float(at), int(passed)
    except ValueError:
        raise InvalidOptions(f"cursor={cursor!r}: give what the call before returned as its cursor") from None


def _sources(store: Store, wanted: Filter, before: float) -> list[Source]:
    """Where such jobs are, each roughly newest first. Those newer than `before` may be left out."""
    needle = None if wanted.name is None else wanted.name.encode()
    sources: list[Source] = []
    unfinished = wanted.any_of("waiting")
    ended = [status for status in FINISHED if wanted.any_of(status)]
    if unfinished or ended:
        counted = counts(store, None if wanted.queue is None else [wanted.queue])
        if unfinished:
            sources += _waiting(store, [key for one in counted for key in one.keys], FIRST, needle, before)
        sources += _histories(store, _kept(counted, ended))
    if wanted.any_of("processing"):
        sources.append(iter(sorted(_processing(store), key=_at, reverse=True)))
    if wanted.any_of("delayed"):
        sources += _delayed(store)
    if wanted.any_of("waiting", "delayed"):
        sources.append(found for found in _parked(store) if wanted.any_of(found.status))
    return sources


def _kept(counted: Iterable[Counted], statuses: Sequence[Status]) -> list[tuple[str, Status]]:
    return [(one.row.name, status) for one in counted for status in statuses if one.kept[status] > 0]


def _descending(source: Source) -> Iterator[tuple[float, Found]]:
    """Each job with the time that places it. What is newer than one before it takes that one's place, so that the
    places only go down, a merge is right, and a cursor leaves nobody out."""
    lowest = math.inf
    for found in source:
        lowest = min(lowest, found.at)
        yield lowest, found


def _waiting(
    store: Store, keys: Sequence[str], least: int, needle: bytes | None = None, before: float = math.inf
) -> list[Source]:
    """A source for each of these lists that is not empty; without those that `needle`, bytes, do not occur in."""
    first = max(least, FIRSTS // max(1, len(keys)))
    starts = [0] * len(keys) if before == math.inf else _starts(store, keys, before, first)
    places = list(zip(keys, starts, strict=True))
    ends = pipe(store, [("LRANGE", key, -start - first, -start - 1) for key, start in places])
    return [
        _backwards(store, key, start, end, first, needle) for (key, start), end in zip(places, ends, strict=True) if end
    ]


def _starts(store: Store, keys: Sequence[str], before: float, near: int) -> list[int]:
    """How many elements at the end of each list need not be read, as they are newer than `before`, but for so many
    that may stand out of place. Found by looking here and there, for all lists at once."""
    newer = [0] * len(keys)
    spans = {i: (0, length) for i, length in enumerate(pipe(store, [("LLEN", key) for key in keys]))}
    while spans := {i: (low, high) for i, (low, high) in spans.items() if high - low > near}:
        probes = [(i, at) for i, (low, high) in spans.items() for at in _between(low, high)]
        elements = pipe(store, [("LINDEX", keys[i], -at - 1) for i, at in probes])
        ends: dict[int, int] = {}
        for (i, at), element in zip(probes, elements, strict=True):
            if i not in ends and element:
                if decode_head(element).enqueued_at > before:
                    newer[i] = at
                else:
                    ends[i] = at
        # One in which nothing was found but holes is looked at no further.
        spans = {i: (newer[i], ends.get(i, high)) for i, (low, high) in spans.items() if i in ends or newer[i] > low}
    return [max(0, start - near) for start in newer]


def _between(low: int, high: int) -> range:
    step = max(1, (high - low) // 9)
    return range(low + step, high, step)


def _backwards(store: Store, key: str, seen: int, some: list[bytes], step: int, needle: bytes | None) -> Source:
    """The records of a list from its tail, without holes."""
    while some:
        records = [
            decode_record(stored) for stored in reversed(some) if stored and (needle is None or needle in stored)
        ]
        # Who adds jobs at the same time as others may put them a little out of order.
        records.sort(key=lambda record: record.enqueued_at, reverse=True)
        for record in records:
            yield Found(record.id, "waiting", record)
        if len(some) < step:
            return
        seen, step = seen + step, min(STEP, 4 * step)
        some = store.read("LRANGE", key, -seen - step, -seen - 1)


def _delayed(store: Store) -> list[Source]:
    def source(name: str) -> Source:
        first = 0
        while members := store.read("ZREVRANGE", name, first, first + STEP - 1, "WITHSCORES"):
            found = []
            for stored, score in scores(members):
                record = decode_record(stored)
                found.append(Found(record.id, "delayed", record, due=score / 1000))
            yield from sorted(found, key=_at, reverse=True)
            first += STEP

    return [source(name) for name in ("due", "retries")]


def _parked(store: Store) -> Source:
    fields = scanned(store, "parked")
    while some := [parked(id, stored) for id, stored in islice(fields, 10 * STEP)]:
        yield from sorted(some, key=_at, reverse=True)


def _processing(store: Store) -> Source:
    held = [(worker, decode_record(stored)) for worker, records in claims(store) for stored in records]
    live = pipe(store, [("HGET", "live", record.id) for _, record in held]) if store.read("EXISTS", "live") else ()
    for (worker, record), told in zip_longest(held, live):
        yield claimed(record, worker, told)


def _histories(store: Store, kept: Sequence[tuple[str, Status]]) -> list[Source]:
    commands: list[Command] = [("LRANGE", f"history:{queue}:{status}", 0, 0) for queue, status in kept]
    return [
        _history(store, queue, status, first)
        for (queue, status), first in zip(kept, pipe(store, commands), strict=True)
        if first
    ]


def _history(store: Store, queue: str, status: Status, some: list[bytes]) -> Source:
    seen = 0
    while some:
        for stored in some:
            page = decode_raw_page(stored)
            # Without its jobs: who keeps one of many keeps no page.
            about = page.with_jobs([])
            for job in newest_first(page):
                yield finished(job, about, status)
        seen += len(some)
        some = store.read("LRANGE", f"history:{queue}:{status}", seen, seen + PAGES - 1)


# -- queues


def queues(store: Store) -> list[QueueRow]:
    """Every queue that ever had a job, by name. Raises `ServerUnavailable`."""
    return [one.row for one in measured(store)]


def measured(store: Store) -> list[Counted]:
    """Every queue that ever had a job, by name, with all that is counted, and what its workers hold."""
    counted = counts(store)
    rows = {one.row.name: one.row for one in counted}
    keys = [(one.row, key) for one in counted for key in one.keys]
    commands: list[Command] = [("LLEN", key) for _, key in keys]
    # A hole may be in front.
    commands += [("LRANGE", key, 0, 1) for _, key in keys]
    replies = pipe(store, commands)
    now = store.now()
    for (row, _), length, front in zip(keys, replies, replies[len(keys) :], strict=False):
        row.waiting += length
        if first := next(filter(None, front), None):
            row.oldest_seconds = max(row.oldest_seconds or 0.0, now - decode_head(first).enqueued_at)
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
    replies, number = pipe(store, commands), len(names)
    paused = {name.decode() for name in replies[-1]}
    counted = []
    for i, name in enumerate(names):
        # What is no number is for `check` to tell.
        told = {field.decode(): int(value) for field, value in replies[i].items() if value.lstrip(b"-").isdigit()}
        row = QueueRow(name=name, paused=name in paused)
        row.waiting = told.get("parked", 0) - told.get("holes", 0)
        row.delayed = told.get("delayed", 0) + told.get("retries", 0)
        for status in FINISHED:
            setattr(row, status, told.get(status, 0))
        kept = {status: told.get(f"{status}:kept", 0) for status in FINISHED}
        priorities = [priority.decode() for priority in replies[number + i]] or ["0"]
        keys = [f"queue:{priority}:{name}" for priority in priorities]
        counted.append(Counted(row, kept, keys))
    return counted
