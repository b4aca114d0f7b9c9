"""Adding jobs: from what the user gives to records, checked first and sent by the thousand."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import UNSET, Raw

from tempotask import arrays, payload
from tempotask.client import Client
from tempotask.errors import (
    InvalidName,
    InvalidOptions,
    InvalidPayload,
    JobFailed,
    NotDurable,
    ServerFull,
    ServerUnavailable,
    TempoTaskError,
)
from tempotask.handle import JobHandle, JobHandles
from tempotask.names import check_name, unknown
from tempotask.options import GivenOptions, JobOptions
from tempotask.repeat import Repeat
from tempotask.shelf import ShelfFile, remove_all
from tempotask.store import schedules
from tempotask.store.addition import Addition, NewJob
from tempotask.store.numbers import CHUNK
from tempotask.store.records import NIL, OUTSIDE_BYTES, Record, RunOptions, encode
from tempotask.store.schedules import Schedule
from tempotask.store.script import Argument, chunked
from tempotask.store.stream import Stream
from tempotask.task import Task

SUFFIXES = [f"-{n}" for n in range(CHUNK)]
"""What automatic ids of one call end with."""

CLOCK_ASKED = 1.0
"""Seconds after which the server is asked for its time again, for jobs with a delay."""
REFUSALS = (InvalidName, InvalidOptions, InvalidPayload)
"""What an item is refused with."""
_KEYS = {"name": "", "queue": "", "data": None, "options": None}
_NOTHING = JobOptions()


class _Kind(msgspec.Struct):
    """What jobs of the same queue, name and options share, checked once."""

    queue: str
    name: str
    options: GivenOptions
    """As they were given. Kept alive, since a bulk call knows them again by their `id()`."""
    id: str | None
    priority: str
    delay: float | None
    due: float | None
    run: RunOptions | None
    plain: bool
    """Whether nothing but the payload's size can make a job of this kind a special one."""
    group: list[Argument] | None = None
    """Where its plain jobs go, in a bulk call."""

    @property
    def within(self) -> float:
        """For `Store.now`: a delay counts from now by the server's clock, which may have been set since."""
        return math.inf if self.delay is None else CLOCK_ASKED


class _UnderWay:
    """The jobs of a bulk call, of which it is not known yet whether they are created."""

    def __init__(self) -> None:
        self.handles: list[JobHandle[Any]] = []
        self.files: dict[int, list[ShelfFile]] = {}
        """Those of large arrays, by the position of their job."""

    def told(self, created: Sequence[bool]) -> list[JobHandle[Any]]:
        """The handles, now that it is known which of the jobs were created; none where there is no answer."""
        if not all(created):
            for position, (handle, new) in enumerate(zip(self.handles, created, strict=True)):
                handle.created = new
                if not new:
                    remove_all(self.files.get(position, ()))
        return self.handles if created else []


class Producer:
    """Makes records of what the user gives, and sends them."""

    def __init__(self, client: Client, tasks: Mapping[tuple[str, str], Task[Any, Any]], largest: int) -> None:
        self.client = client
        self.tasks = tasks
        self._known: dict[tuple[str, str], tuple[Task[Any, Any] | None, _Kind]] = {}
        self.largest = largest
        """Bytes of a payload at most."""

    def enqueue(
        self, queue: str, name: str, data: object, options: GivenOptions = None, parent: str | None = None
    ) -> JobHandle[Any]:
        """Adds one job, or a schedule if it is to be repeated."""
        if options is not None:
            options = JobOptions.of(options)
            if options.repeat is not UNSET:
                return self._schedule(queue, name, data, options, options.repeat, parent)
        return self._send(*self.one(queue, name, data, options, parent))[0]

    def publish(
        self, queues: Iterable[str], name: str, data: object, options: GivenOptions = None, parent: str | None = None
    ) -> JobHandles[Any]:
        """Adds one copy of a job to each of the queues, all or none."""
        return self._send(*self.copies(queues, name, data, options, parent))

    def one(
        self,
        queue: str,
        name: str,
        data: object,
        options: GivenOptions = None,
        parent: str | None = None,
        *,
        at_once: bool = True,
    ) -> tuple[str, list[NewJob]]:
        """A call that adds one job: its id, and the job. Nothing is sent. Only what is added `at_once` may have large
        arrays: of others nobody could tell whether they are still to come."""
        kind, store = self._kind_of_one(queue, name, options), self.client.store
        call = store.new_call()
        automatic = f"{call}-0"
        encoded = payload.encode(data, self.largest, "data", self._sender() if at_once else None, kind.id or automatic)
        return call, [_new_job(kind, automatic, encoded, store.now(kind.within), parent)]

    def copies(
        self,
        queues: Iterable[str],
        name: str,
        data: object,
        options: GivenOptions = None,
        parent: str | None = None,
        *,
        at_once: bool = True,
    ) -> tuple[str, list[NewJob]]:
        """A call that adds a copy of a job to each of the queues: its id, and the jobs. Nothing is sent. See `one`."""
        given, name = JobOptions.of(options), check_name("task", name)
        kinds = [self._kind_of_copy(queue, name, given) for queue in _distinct(queues)]
        store, sender, encoded = self.client.store, self._sender(), b""
        call, now, jobs = store.new_call(), store.now(min(kind.within for kind in kinds)), list[NewJob]()
        for n, kind in enumerate(kinds):
            automatic = f"{call}-{n}"
            if not encoded or sender.used:
                id = kind.id or automatic
                encoded = payload.encode(data, self.largest, "data", sender if at_once else None, id)
            jobs.append(_new_job(kind, automatic, encoded, now, parent))
        return call, jobs

    def handles(self, jobs: Sequence[NewJob], created: Sequence[bool]) -> JobHandles[Any]:
        """Handles to jobs, and whether each was created."""
        return JobHandles(
            JobHandle(job.record.id, job.record.queue, job.record.name, new, self.client)
            for job, new in zip(jobs, created, strict=True)
        )

    def enqueue_many(self, jobs: Iterable[Mapping[str, Any]], parent: str | None = None) -> JobHandles[Any]:
        """Adds jobs by the thousand, each thousand all or none. On an error, `.handles` are those that are in."""
        if isinstance(jobs, Mapping):
            raise InvalidOptions(
                "enqueue_many takes several jobs, as in enqueue_many([{…}]); enqueue adds a single one"
            )
        if not isinstance(jobs, Iterable):
            raise InvalidOptions(f"enqueue_many takes jobs, as in enqueue_many([{{…}}]), and not {jobs!r}")
        handles: JobHandles[Any] = JobHandles()
        made = 0
        stream, under_way = self.client.stream(), _UnderWay()
        try:
            for thousand in chunked(jobs):
                addition, following = self._addition(thousand, made, parent)
                made += len(following.handles)
                handles += under_way.told(stream.created())
                under_way = following
                stream.send(addition, last=len(thousand) < CHUNK)
            handles += under_way.told(stream.created())
        except TempoTaskError as error:
            handles += _in_all_the_same(under_way, stream, error)
            error.handles = handles
            raise
        finally:
            stream.close()
        return handles

    def _sender(self, written: list[ShelfFile] | None = None) -> arrays.Sender:
        """For the large arrays of one call."""
        client = self.client
        return arrays.Sender(lambda: client.shelf, written=written)

    def _send(self, call: str, jobs: Sequence[NewJob]) -> JobHandles[Any]:
        try:
            created = self.client.store.enqueue(call, jobs)
        except NotDurable as error:
            error.handles = self.handles(jobs, error.created)
            raise
        for job, new in zip(jobs, created, strict=True):
            if not new:
                # Nobody will come for its large arrays.
                arrays.discard(bytes(job.record.payload))
        handles = self.handles(jobs, created)
        # All are in, or were there before: without an answer they stay as they are.
        with contextlib.suppress(ServerUnavailable):
            for handle in handles:
                if not handle.created:
                    self._see_whose(handle)
        return handles

    def _see_whose(self, handle: JobHandle[Any]) -> None:
        """Has a handle to a job that was there before say which queue and which task that is of."""
        # It may have ended since, and need not be known any more.
        found = self.client.find(handle.id)
        if found is not None and (job := found.record or found.outcome) is not None:
            handle.queue, handle.name = job.queue, job.name

    def _schedule(
        self, queue: str, name: str, data: object, options: JobOptions, repeat: Repeat, parent: str | None
    ) -> JobHandle[Any]:
        # Everything but when it runs is as with a job, which is made for that, and is not sent.
        once = JobOptions(**{name: value for name, value in options.given().items() if name != "repeat"})
        _, (job,) = self.one(queue, name, data, once, parent, at_once=False)
        record, client = job.record, self.client
        if (task := self.tasks.get((queue, name))) is not None:
            task.check_repeated(record.payload)
        schedule = Schedule(
            *(record.id, record.queue, record.name, repeat, record.priority),
            *(record.payload, record.options, parent, record.enqueued_at),
        )
        # As if this process had not seen it being added: who waits for a schedule is told at once that it has no end.
        handle: JobHandle[Any] = JobHandle(record.id, record.queue, record.name, True, client, _known=False)
        try:
            handle.created = schedules.add(client.store, schedule, job.due)
            if not handle.created:
                self._see_whose(handle)
        except NotDurable as error:
            (handle.created,) = error.created
            error.handles = [handle]
            raise
        return handle

    def _addition(self, items: list[Mapping[str, Any]], first: int, parent: str | None) -> tuple[Addition, _UnderWay]:
        """The items as a call, and what is known of its jobs. This loop is why a bulk call is fast: whatever can be, is
        done once for a kind, and plain jobs go straight into the call."""
        client = self.client
        call, now = client.store.new_call(), client.store.now()
        addition, under_way = Addition(call), _UnderWay()
        handles = under_way.handles
        kinds: dict[tuple[str, str] | tuple[str, str, int], _Kind] = {}
        grouped: list[_Kind] = []
        to_bytes, largest, small = payload.to_bytes, self.largest, min(OUTSIDE_BYTES, self.largest)
        files: list[ShelfFile] = []
        sender = self._sender(files)
        try:
            for item in items:
                if len(item) == 3 and "data" in item:
                    queue, name, data, options = item["queue"], item["name"], item["data"], None
                else:
                    _check_keys(item)
                    queue, name, data, options = item["queue"], item["name"], item.get("data"), item.get("options")
                key = (queue, name) if options is None else (queue, name, id(options))
                kind = kinds.get(key)
                if kind is None:
                    kind = kinds[key] = self.kind(queue, name, options)
                number = len(handles)
                automatic = call + SUFFIXES[number]
                try:
                    encoded = to_bytes(data)
                except arrays.Large:
                    before = len(files)
                    encoded = sender.encode(data, kind.id or automatic)
                    under_way.files[number] = files[before:]
                except InvalidPayload as error:
                    raise payload.refusal(data, error) from None
                if kind.plain and len(encoded) <= small:
                    group = kind.group
                    if group is None:
                        group = kind.group = addition.group(kind.queue, kind.priority)
                        grouped.append(kind)
                    raw = Raw(encoded)
                    record = Record("", automatic, kind.queue, kind.priority, kind.name, now, 0, raw, kind.run, parent)
                    group.append(encode(record))
                    handles.append(JobHandle(automatic, kind.queue, kind.name, True, client))
                    continue
                if len(encoded) > largest:
                    raise payload.oversize(len(encoded), largest)
                moment = now if kind.delay is None else client.store.now(kind.within)
                job = _new_job(kind, automatic, encoded, moment, parent)
                addition.number = number
                if not addition.add(job):
                    while grouped:
                        grouped.pop().group = None
                handles.append(JobHandle(job.record.id, kind.queue, kind.name, True, client))
            addition.number = len(handles)
        except Exception as error:
            remove_all(files)
            if isinstance(error, TempoTaskError) and not isinstance(error, REFUSALS):
                raise  # the server is away, or the time of the handler that adds them is over
            raise _refused(items[len(handles)], first + len(handles), error) from None
        return addition, under_way

    def _kind_of_one(self, queue: str, name: str, options: GivenOptions) -> _Kind:
        """`kind`, remembered for calls without options: they are the rule, and somebody may wait for the job."""
        # What is no name need not be hashable.
        if options is not None or not (isinstance(queue, str) and isinstance(name, str)):
            return self.kind(queue, name, options)
        task = self.tasks.get((queue, name))
        known = self._known.get((queue, name))
        if known is None or known[0] is not task:
            if len(self._known) >= CHUNK:
                self._known.clear()
            known = self._known[queue, name] = (task, self.kind(queue, name, None))
        return known[1]

    def _kind_of_copy(self, queue: str, name: str, given: JobOptions) -> _Kind:
        """`kind`, of one of several copies. An id is made one of each copy's own."""
        task = self.tasks.get((queue, name))
        id = task.options.id if given.id is UNSET and task is not None else given.id
        return self.kind(queue, name, given if id is UNSET else JobOptions(**given.given() | {"id": f"{id}:{queue}"}))

    def kind(self, queue: str, name: str, options: GivenOptions) -> _Kind:
        """Checks what jobs of a kind share. What the call leaves open, the task says, if this process declares it."""
        queue, name = check_name("queue", queue), check_name("task", name)
        given = _NOTHING if options is None else JobOptions.of(options)
        given.insist_on_a_call()
        if given.repeat is not UNSET:
            raise InvalidOptions(
                "repeat makes a schedule and not a job; give it to enqueue, for one at a time, and without on_success"
            )
        task = self.tasks.get((queue, name))
        own = _NOTHING if task is None else task.options
        id = own.id if given.id is UNSET else given.id
        priority = own.priority if given.priority is UNSET else given.priority
        when = own if given.delay is UNSET and given.delay_until is UNSET else given
        return _Kind(
            queue,
            name,
            options,
            plain=id is UNSET and when.delay is UNSET and when.delay_until is UNSET,
            id=None if id is UNSET else id,
            priority="0" if priority is UNSET else str(priority),
            delay=None if when.delay is UNSET else when.delay,
            due=None if when.delay_until is UNSET else when.delay_until.timestamp(),
            run=given.run(),
        )


def _new_job(kind: _Kind, automatic: str, encoded: bytes, now: float, parent: str | None) -> NewJob:
    data = NIL if encoded == b"\xc0" else Raw(encoded)
    id = kind.id
    record = Record("", id or automatic, kind.queue, kind.priority, kind.name, now, 0, data, kind.run, parent)
    due = kind.due if kind.delay is None else now + kind.delay
    return NewJob(record, due if due is not None and due > now else None, id is not None, len(encoded) > OUTSIDE_BYTES)


def _check_keys(item: Mapping[str, Any]) -> None:
    if not item.keys() <= _KEYS.keys():
        raise InvalidOptions(unknown("key", str(next(iter(item.keys() - _KEYS.keys()))), _KEYS))


def _in_all_the_same(under_way: _UnderWay, stream: Stream, error: TempoTaskError) -> list[JobHandle[Any]]:
    """The handles of the call that was under way when that error came, as far as its jobs are known to be in."""
    if isinstance(error, NotDurable):
        return under_way.told(error.created)
    if isinstance(error, ServerUnavailable | ServerFull | JobFailed):
        # The last: the time of the handler that adds them is over.
        return []
    # What was refused was not sent yet, and the thousand before it is on its way.
    try:
        return under_way.told(stream.created())
    except TempoTaskError as late:
        return _in_all_the_same(under_way, stream, late)


def _distinct(queues: Iterable[str]) -> list[str]:
    if isinstance(queues, str):
        raise InvalidOptions(f"queues={queues!r} is one str; give a list of queues, as in queues=[{queues!r}]")
    if not isinstance(queues, Iterable):
        raise InvalidOptions(f"queues={queues!r}: give a list of queues, as in queues=['images']")
    names = [check_name("queue", queue) for queue in queues]
    if not names:
        raise InvalidOptions("there are no queues to publish to; give at least one")
    twice = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
    if twice is not None:
        raise InvalidOptions(f"queue {twice!r} is there twice; give each queue once")
    if len(names) > CHUNK:
        raise InvalidOptions(f"{len(names):,} queues in one publish; at most {CHUNK:,} can be all or none")
    return names


def _refused(item: Any, index: int, error: Exception) -> Exception:
    """The error for an item that was refused, is no job at all, or whose data msgspec refused."""
    if isinstance(error, REFUSALS):
        return type(error)(f"job {index}: {error}")
    if not isinstance(item, Mapping):
        return InvalidOptions(f"job {index} is a {type(item).__name__}; give a mapping with name, queue, data, options")
    missing = next((key for key in ("name", "queue") if key not in item), None)
    if missing is not None:
        return InvalidOptions(f"job {index} has no {missing!r}; each job is a mapping with name, queue, data, options")
    for key in ("queue", "name"):
        try:
            check_name("task" if key == "name" else key, item[key])
        except TempoTaskError as wrong:
            return type(wrong)(f"job {index}: {wrong}")
    return type(refusal := payload.refusal(item.get("data"), error))(f"job {index}: {refusal}")
