"""What happens to jobs, told to whoever subscribes: in a thread of the subscriber's own process."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import math
import os
import threading
import time
import uuid
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

import msgspec
import redis
from redis.connection import AbstractConnection

from tempotask.annotations import signature_against
from tempotask.errors import InvalidOptions
from tempotask.info import Progress, utc
from tempotask.names import check_name, unknown
from tempotask.pauses import growing
from tempotask.store import events as store_events
from tempotask.store.connect import BROKEN
from tempotask.store.events import KINDS, START, Cursor, Entry
from tempotask.store.numbers import LISTENING_MS
from tempotask.store.records import UNREADABLE, plain

if TYPE_CHECKING:
    from tempotask.store.connect import Server
    from tempotask.store.store import Store

RENEW = LISTENING_MS / 18_000
"""Seconds between two times of saying that we listen: cut off for a minute after any of them, nothing is missed; and a
server that has lost its data records again soon."""
READ_FOR = 2.0
"""Seconds for which one reading waits for events."""
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0
"""Seconds between two tries to reach the server, at first and at last."""

log = logging.getLogger("tempotask")


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to a job, or (`worker`) to a worker. What its kind does not have is None."""

    event: str
    """`waiting`, `started`, `progress`, `completed`, `failed`, `retrying`, `cancelled`, `stalled` or `worker`."""
    id: str = ""
    """The job's; empty with `worker`."""
    queue: str = ""
    name: str = ""
    at: datetime
    """When it happened: by the clock of the worker's host for what a worker tells, else by the server's."""
    priority: int | None = None
    """With `waiting`, `stalled` and `cancelled`."""
    attempt: int | None = None
    """Which try it is, 1 for the first: with `started`, `progress`, `completed`, `failed` and `retrying`."""
    worker: str | None = None
    """Which one runs the job, with the same; with `worker`, the one that it is about."""
    progress: Progress | None = None
    """With `progress`."""
    result: Any = None
    """With `completed`, as plain data; None as well when it has more than 4 KiB: ask the job's handle."""
    error: str | None = None
    """With `failed` and `retrying`: the message."""
    type: str | None = None
    """With the same: the type of the error, as tracebacks print it."""
    delay: float | None = None
    """With `retrying`: seconds until the next try."""
    reason: str | None = None
    """With `worker`: `up` or `gone`."""
    supervisor: str | None = None
    """With `worker`: whose it is."""


Callback = Callable[[Event], Awaitable[object] | object]

_caller: ContextVar[Listener | None] = ContextVar("caller", default=None)
"""In a callback, and in what it awaits: the listener that calls it."""


class Subscription:
    """Someone who is told of events, until it is closed. Made by `QueueManager.on`."""

    def __init__(
        self, events: Events, kind: str, callback: Callback, queue: str | None, name: str | None, since: Cursor
    ) -> None:
        self._events = events
        self.kind = kind
        self.callback = callback
        self._queue = queue
        self._name = name
        self.since = since
        """What stands before this place happened before it was made."""
        self.closed = False

    def wants(self, event: Event, at: Cursor) -> bool:
        """Whether this event is for it."""
        return (
            not self.closed
            and at > self.since
            and self._queue in (None, event.queue)
            and self._name in (None, event.name)
        )

    def close(self) -> None:
        """Ends it: no call begins any more. Twice does no harm."""
        self._events.close_one(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class Events:
    """The subscriptions of one manager in one process. A listener is there while there are any."""

    def __init__(self, server: Server, store: Store) -> None:
        self._server = server
        self._store = store
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._listener: Listener | None = None

    def on(self, kind: str, callback: Callback, queue: str | None, name: str | None) -> Subscription:
        """Subscribes; see `QueueManager.on`."""
        check(kind, callback, queue, name)
        with self._lock:
            listener = self._listener or Listener(self._server, self._store)
            newest, _ = store_events.listen(self._store, listener.id)
            subscription = Subscription(self, kind, callback, queue, name, newest or START)
            listener.subscriptions = (*listener.subscriptions, subscription)
            if self._listener is None:
                listener.start(newest or START)
                self._listener = listener
        return subscription

    def close_one(self, subscription: Subscription) -> None:
        """Ends one of them, and with the last one the listener."""
        subscription.closed = True
        if os.getpid() != self._pid:
            # A forked child's copy: the listener is its parent's, and the lock may be held by nobody.
            return
        with self._lock:
            listener = self._listener
            if listener is None:
                return
            listener.subscriptions = tuple(other for other in listener.subscriptions if other is not subscription)
            if listener.subscriptions:
                return
            self._listener = None
        listener.stop()

    def close(self) -> None:
        """Ends them all, and waits for the listener's end, unless that is who calls."""
        with self._lock:
            listener, self._listener = self._listener, None
        if listener is not None:
            for subscription in listener.subscriptions:
                subscription.closed = True
            listener.stop()
            listener.join()


def check(kind: str, callback: Callback, queue: str | None, name: str | None) -> None:
    """Raises `InvalidOptions` or `InvalidName` for a subscription that would never be told anything."""
    if kind not in KINDS:
        raise InvalidOptions(unknown("event", str(kind), KINDS))
    if not callable(callback):
        raise InvalidOptions(f"callback={callback!r}: give a function that takes an Event, def or async def")
    if (signature := signature_against(callback, 1)) is not None:
        raise InvalidOptions(f"callback={callback!r} takes {signature}; it must take one argument, an Event")
    if kind == "worker" and (queue is not None or name is not None):
        raise InvalidOptions("workers belong to no queue and no task; leave queue and name out")
    if queue is not None:
        check_name("queue", queue)
    if name is not None:
        check_name("task", name)


class Listener:
    """A thread that reads events and calls who subscribed, one after the other, in the order of the events.

    1. says every now and then that it listens;
    2. waits for events, on a connection of its own, from the place of the last one it saw: so after a broken
       connection it goes on where it was;
    3. calls; coroutines run to their end in an event loop of this thread. What a call raises is logged.
    """

    def __init__(self, server: Server, store: Store) -> None:
        self.id = uuid.uuid4().hex
        self.subscriptions: tuple[Subscription, ...] = ()
        self._server = server
        self._store = store
        self._cursor = START
        self._renewed = time.monotonic()
        self._connection: AbstractConnection | None = None
        self._client_id = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tempotask events", daemon=True)

    def start(self, cursor: Cursor) -> None:
        """Begins to read behind that place; the caller has just said that this one listens."""
        self._cursor = cursor
        self._thread.start()

    def stop(self) -> None:
        """Has it end soon."""
        self._stopped.set()
        # What can't be said now expires.
        with contextlib.suppress(*BROKEN):
            store_events.listen_no_more(self._store, self.id)
            self._unblock()

    def join(self) -> None:
        """Waits for its end, as long as a reading may take; not in a callback, whose own end that would be."""
        if _caller.get() is self:
            return
        end = time.monotonic() + 2 * READ_FOR
        while self._thread.is_alive() and time.monotonic() < end:
            self._thread.join(0.05)
            # It may have been on its way to the next reading when it was called out of the last.
            with contextlib.suppress(*BROKEN):
                self._unblock()

    def _unblock(self) -> None:
        if self._client_id:
            self._server.client().client_unblock(self._client_id)

    def _run(self) -> None:
        _caller.set(self)
        loop, tries, told = asyncio.Runner(), 0, False
        try:
            while not self._stopped.is_set():
                try:
                    entries = self._read()
                except Exception as error:  # whatever it is: who has subscribed is to hear again when it is over
                    self._disconnect()
                    tries += 1
                    pause = growing(FIRST_PAUSE, LONGEST_PAUSE, tries)
                    if pause == LONGEST_PAUSE and not told:
                        log.warning("events can't be read, trying on: %s", error)
                        told = True
                    self._stopped.wait(pause)
                    continue
                if told:
                    log.warning("events are read again")
                tries, told = 0, False
                for entry in entries:
                    self._deliver(entry, loop)
        finally:
            loop.close()
            self._disconnect()
            # Once more: it may have been renewed just now.
            with contextlib.suppress(*BROKEN):
                store_events.listen_no_more(self._store, self.id)

    def _read(self) -> list[Entry]:
        if self._connection is None:
            self._connection = self._server.connection(timeout=READ_FOR + self._server.connect_timeout)
            with contextlib.suppress(redis.ResponseError):
                self._connection.send_command("CLIENT", "ID")  # type: ignore[no-untyped-call]
                self._client_id = int(self._connection.read_response())
            # A server that was away may have forgotten that we listen.
            self._renewed = -math.inf
        self._renew()
        if self._stopped.is_set():
            return []
        connection = cast(redis.Connection, self._connection)
        return store_events.read(self._store, connection, self._cursor, READ_FOR)

    def _renew(self) -> None:
        if time.monotonic() - self._renewed < RENEW:
            return
        newest, known = store_events.listen(self._store, self.id)
        self._renewed = time.monotonic()
        if not known and not self._stopped.is_set():
            log.warning("events may have been missed: nothing was heard of the server for too long")
        if newest is None or newest < self._cursor:
            # The stream has been begun anew since: all that it holds has not been seen.
            self._cursor = START
            for subscription in self.subscriptions:
                subscription.since = START

    def _deliver(self, entry: Entry, loop: asyncio.Runner) -> None:
        self._cursor = entry.cursor
        concerned = [one for one in self.subscriptions if one.kind == entry.kind]
        try:
            told = event_of(entry) if concerned else None
        except UNREADABLE as error:
            log.warning("an event %r that this version can't read is passed over: %s", entry.kind, error)
            return
        for subscription in concerned:
            assert told is not None
            try:
                if not subscription.wants(told, entry.cursor):
                    continue
                called = subscription.callback(told)
                if inspect.isawaitable(called):
                    loop.run(_finish(called))
            except BaseException:
                # Whatever it is, SystemExit too: others wait for their events.
                log.exception("a callback for %r events failed: %r", entry.kind, subscription.callback)
        # Callbacks may take their time, and a full reading is a thousand of them.
        with contextlib.suppress(*BROKEN):
            self._renew()

    def _disconnect(self) -> None:
        connection, self._connection, self._client_id = self._connection, None, 0
        if connection is not None:
            connection.disconnect()  # type: ignore[no-untyped-call]


async def _finish(called: Awaitable[object]) -> None:
    await called


def event_of(entry: Entry) -> Event:
    """An event as it was recorded, for those who subscribe."""
    at = entry.cursor[0] / 1000
    if entry.kind == "worker":
        worker, *supervisor, reason = entry.worker()
        whose = supervisor[0] if supervisor else None
        return Event(event="worker", at=utc(at), worker=worker, supervisor=whose, reason=reason)
    if entry.cut:
        id, queue, name, priority = entry.head()
        return Event(event=entry.kind, id=id, queue=queue, name=name, at=utc(at), priority=priority)
    told = entry.happening()
    return Event(
        event=entry.kind,
        id=told.id,
        queue=told.queue,
        name=told.name,
        at=utc(told.at),
        attempt=told.attempt,
        worker=told.worker,
        progress=Progress(*told.progress) if told.progress is not None else None,
        result=plain(told.result),
        error=told.message,
        type=told.type,
        delay=told.delay,
    )
