"""Schedules, as they are stored.

A schedule is one field of the hash `schedules`: its state, five short words that scripts read and write, and its
definition, which they only compare. `firings` says when each is to be looked at next. As soon as a firing takes place
its job is one like any other, called `<id>@<unix time>`.
"""

from __future__ import annotations

import hashlib
import itertools
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import msgspec
from msgspec import Raw

from tempotask.errors import InvalidOptions, NotDurable
from tempotask.repeat import Repeat
from tempotask.store.addition import Addition, NewJob
from tempotask.store.reading import scanned
from tempotask.store.records import NIL, OUTSIDE_BYTES, UNREADABLE, Record, RunOptions
from tempotask.store.script import Argument
from tempotask.store.store import Store

Firing = Literal["fired", "skipped", "waits", "early", "gone"]
Policy = Literal["overlap", "skip", "wait"]
NOTHING = "-"
"""Where nothing is called so."""
STEP = 100
"""Schedules in one answer, roughly."""


class Schedule(msgspec.Struct, array_like=True, frozen=True):
    """What fires, and when: the definition, which never changes. What jobs need travels with it."""

    id: str
    queue: str
    name: str
    repeat: Repeat
    priority: str = "0"
    payload: Raw = NIL
    options: RunOptions | None = None
    parent: str | None = None
    added_at: float | None = None
    """Unix seconds; None for one that an application declares."""

    def record(self, id: str, at: float) -> Record:
        """The record of a job of this schedule, that is added at that time."""
        return Record("", id, self.queue, self.priority, self.name, at, 0, self.payload, self.options, self.parent)

    @property
    def form(self) -> str:
        """A short word for all that it says: two that differ in anything have different ones."""
        return _form(msgspec.msgpack.encode(self))


def _form(definition: bytes) -> str:
    return hashlib.sha1(definition).hexdigest()[:16]


def encode_schedules(schedules: Iterable[Schedule | None]) -> bytes:
    """All that there are, for another process of this application."""
    return msgspec.msgpack.encode([schedule for schedule in schedules if schedule is not None])


def decode_schedules(encoded: bytes) -> list[Schedule]:
    """The reverse of `encode_schedules`."""
    return msgspec.msgpack.decode(encoded, type=list[Schedule]) if encoded else []


@dataclass(frozen=True)
class Planned:
    """A schedule as it stands. Times are milliseconds since 1970."""

    id: str
    version: str
    next: int
    """0: it does not fire any more, and is declared still."""
    fired: int
    """How many firings took place."""
    last: int
    """The firing that took place last; 0: none yet."""
    fired_at: int
    """When it did so, on time or late."""
    definition: bytes

    @cached_property
    def schedule(self) -> Schedule | None:
        """None: a definition that can't be read here: of another version of TempoTask, or in an unknown time zone."""
        try:
            return msgspec.msgpack.decode(self.definition, type=Schedule)
        except UNREADABLE:
            return None

    @property
    def form(self) -> str:
        """That of its definition, also where that can't be read."""
        return _form(self.definition)

    @property
    def added(self) -> bool:
        """Whether a producer added it, and no application declares it."""
        return self.version.startswith("a")


def job_id(id: str, firing: int) -> str:
    """What the job of that firing is called."""
    seconds, rest = divmod(firing, 1000)
    return f"{id}@{seconds}.{rest:03}" if rest else f"{id}@{seconds}"


def moment(store: Store) -> int:
    """Now, by the server's clock, in milliseconds since 1970."""
    return store.clock() // 1000


def add(store: Store, schedule: Schedule, not_before: float | None = None) -> bool:
    """Adds a schedule; False if one, or a job that has not finished, has this id.

    `not_before`: Unix seconds, before which it does not fire. Raises `ServerUnavailable`, `ServerFull`.
    """
    try:
        return _put(store, schedule, "a", not_before=not_before) == b"new"
    except NotDurable as error:
        error.created = [error.answer == b"new"]
        raise


def declare(store: Store, schedule: Schedule, *, instead_of: Planned | str = "") -> bool:
    """Declares a schedule: one that is new, or fires at other times than it did, begins; else it keeps its next firing,
    and how often it has fired. False if an added one has its id.

    `instead_of`: only if it is that one which is there, or `NOTHING`; another version may have been declared since.
    Raises `ServerUnavailable`, `ServerFull`.
    """
    seen, answer = instead_of.version if isinstance(instead_of, Planned) else instead_of, b"changed"
    while answer == b"changed":
        there = get(store, schedule.id)
        alike = "" if there is None or not _fire_alike(there.schedule, schedule) else there.version
        answer = _put(store, schedule, "d", instead_of=seen, alike=alike)
    return answer != b"taken"


def _fire_alike(one: Schedule | None, other: Schedule) -> bool:
    return one is not None and one.repeat.times == other.repeat.times


def _put(
    store: Store,
    schedule: Schedule,
    kind: str,
    *,
    not_before: float | None = None,
    instead_of: str = "",
    alike: str = "",
) -> bytes:
    begins = moment(store)
    if not_before is not None:
        # One that falls exactly on that time takes place.
        begins = max(begins, int(not_before * 1000) - 1)
    first = schedule.repeat.after(begins)
    if first is None:
        if not_before is not None:
            raise InvalidOptions(
                f"schedule {schedule.id} would never fire: {schedule.repeat} has no time after its delay"
            )
        # Checked when it was written, so it was its last time in this moment.
        return b"new"
    encoded, limit = msgspec.msgpack.encode(schedule), schedule.repeat.limit
    version = kind + secrets.token_hex(6)
    answer: bytes = store.change(
        "schedule",
        *(schedule.id, schedule.queue, version, first, encoded),
        *(instead_of, alike, "" if limit is None else limit),
    )
    return answer


def due(store: Store, most: int = STEP) -> tuple[int, list[Planned]]:
    """Now, and schedules that are to fire by now, the first first; at most so many."""
    now, *told = store.run("firings", "due", most)
    return int(now), [_read(id, state) for id, state in zip(told[::2], told[1::2], strict=True)]


def fire(
    store: Store, planned: Planned, firing: int, following: int | None, policy: Policy, *, delay: float = 0.0
) -> Firing:
    """Has the job of that firing added, `delay` seconds late, and the schedule go on with the firing that follows.

    Raises `ServerUnavailable`, `ServerFull`.
    """
    schedule = planned.schedule
    assert schedule is not None
    limit = schedule.repeat.limit
    job = Addition("")
    record = schedule.record(job_id(planned.id, firing), store.now())
    job.add(NewJob(record, given_id=True, large=len(bytes(schedule.payload)) > OUTSIDE_BYTES))
    answer: bytes = store.run(
        "fire",
        *(planned.id, planned.version, planned.next, firing, "" if following is None else following),
        "1" if limit is not None and planned.fired + 1 >= limit else "",
        *(policy, job_id(planned.id, planned.last) if planned.last else "", int(delay * 1000) or ""),
        *job.body(),
    )
    return answer.decode()  # type: ignore[return-value]


def look_later(store: Store, planned: Planned, seconds: float) -> None:
    """A schedule that can't fire now is looked at again after so many seconds."""
    store.run("firings", "later", planned.id, planned.version, planned.next, int(seconds * 1000))


def remove(store: Store, id: str) -> bool:
    """Ends a schedule that was added; jobs that it made stay. False if there is none of this id."""
    return bool(store.change("unschedule", id) == b"1")


def remove_undeclared(store: Store, planned: Planned, registrations: Mapping[str, bytes]) -> bool:
    """Ends a schedule that none of these supervisors declares; False if it is not that one any more, or they have
    changed."""
    # There is always one, the one that asks: without any the script would not compare.
    seen: list[Argument] = list(itertools.chain.from_iterable(registrations.items()))
    return bool(store.run("firings", "remove", planned.id, planned.version, *seen) == b"1")


def get(store: Store, id: str) -> Planned | None:
    """A schedule, or None."""
    state = store.read("HGET", "schedules", id)
    return None if state is None else _read(id.encode(), state)


def every(store: Store) -> Iterator[Planned]:
    """All schedules, in no order; one that is put or goes meanwhile may be there or not."""
    seen: set[bytes] = set()
    for id, state in scanned(store, "schedules"):
        if id not in seen:
            seen.add(id)
            yield _read(id, state)


def _read(id: bytes, state: bytes) -> Planned:
    name = id.decode(errors="replace")
    try:
        version, next, fired, last, at, definition = state.split(b" ", 5)
        return Planned(name, version.decode(), int(next), int(fired), int(last), int(at), definition)
    except ValueError:
        # What can't be read does not fire, and is nothing that anybody declares.
        return Planned(name, "", 0, 0, 0, 0, b"")
