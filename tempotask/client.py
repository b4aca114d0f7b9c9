"""One manager's side of the server, in this process: its store, the outcomes it waits for, its threads."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import msgspec
import redis

from tempotask import arrays, linux
from tempotask.errors import (
    VERDICTS,
    InvalidPayload,
    JobCancelled,
    JobFailed,
    JobNotFound,
    ResultExpired,
)
from tempotask.events import Events
from tempotask.info import JobInfo, LogEntry, info_of
from tempotask.options import Options
from tempotask.shelf import Shelf
from tempotask.store import lists, look
from tempotask.store.acting import Acting
from tempotask.store.attendance import Attendance
from tempotask.store.connect import WAITED, Server, resolve
from tempotask.store.left import left_in
from tempotask.store.lists import Filter
from tempotask.store.outcomes import Outcomes
from tempotask.store.records import FINISHED, UNREADABLE, Outcome, Status, decode_outcome
from tempotask.store.store import Limits, Store
from tempotask.store.stream import Stream
from tempotask.store.wait import Ending

if TYPE_CHECKING:
    from tempotask.job import Job
    from tempotask.task import Task

log = logging.getLogger("tempotask")
P = ParamSpec("P")
T = TypeVar("T")

THREADS = 16
"""Threads for the awaitable twins of what talks to the server."""

_all: weakref.WeakSet[Client] = weakref.WeakSet()
"""Those that a forked child must make anew before one of its threads uses them."""


class Client:
    """Opens nothing before its first use; after `close` the next use opens again; a forked child gets its own."""

    threads = THREADS

    def __init__(
        self,
        db: str | redis.Redis | None,
        namespace: str,
        options: Options,
        tasks: Mapping[tuple[str, str], Task[Any, Any]],
    ) -> None:
        self.db = db
        self.namespace = namespace
        self._options = options
        self._tasks = tasks
        self.reruns = 0
        """Grows when a job may have been run again under its id: what handles have seen may be of an earlier run."""
        self.running: Callable[[], Job[Any] | None] = lambda: None
        """In a worker: the job whose handler runs."""
        self.own_pool = False
        """Whether this program sees to the workers too, and so need not be told that nobody works."""
        # A URL that says nothing is refused here, not at the first use.
        self._server = None if db is None else Server(db, connect_timeout=options.connect_timeout)
        self._forget()
        _all.add(self)

    def _forget(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._store: Store | None = None
        self.attendance = Attendance()
        self._outcomes: Outcomes | None = None
        self._events: Events | None = None
        self._shelf: Shelf | None = None
        self._executor: ThreadPoolExecutor | None = None

    def _in_this_process(self) -> threading.RLock:
        if self._pid != os.getpid():
            # Forked by somebody who does not tell Python.
            # A store of its own too: two processes that count on from the same number would make the same ids.
            self._forget()
        return self._lock

    @property
    def server(self) -> Server:
        """The server, as far as it is known; nothing is opened."""
        if self._server is None:
            self._server = resolve(self.db, connect_timeout=self._options.connect_timeout)
        return self._server

    @property
    def store(self) -> Store:
        """The store of this process."""
        with self._in_this_process():
            if self._store is None:
                limits = Limits(self._options.max_results, self._options.max_results_bytes)
                self._store = Store(self.server, self.namespace, limits, self._options.durability)
            return self._store

    @property
    def outcomes(self) -> Outcomes:
        """The outcomes that this process waits for."""
        with self._in_this_process():
            if self._outcomes is None:
                attendance = None if self.own_pool else self.attendance
                self._outcomes = Outcomes(self.server, self.store, self.submit, attendance)
            return self._outcomes

    @property
    def shelf(self) -> Shelf:
        """Where this process puts large arrays."""
        with self._in_this_process():
            if self._shelf is None:
                self._shelf = Shelf(self.server.place, self.namespace, linux.born_ns(self._pid))
            return self._shelf

    @property
    def events(self) -> Events:
        """Who in this process is told what happens."""
        with self._in_this_process():
            if self._events is None:
                self._events = Events(self.server, self.store)
            return self._events

    def submit(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Calls what would block an event loop in a thread of our own."""
        # Under the lock, so that nobody closes the executor between the getting and the giving.
        with self._in_this_process():
            if self._executor is None:
                self._executor = ThreadPoolExecutor(self.threads, thread_name_prefix="tempotask")
            return self._executor.submit(call, *args, **kwargs)

    def stream(self) -> Stream:
        """For calls of many jobs, one after the other."""
        return Stream(self.store)

    async def apart(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Calls what may block in a thread, in the caller's context, and awaits what it returns."""
        context, asked = contextvars.copy_context(), time.monotonic()

        def called() -> T:
            context.run(WAITED.set, time.monotonic() - asked)
            return context.run(call, *args, **kwargs)

        return await asyncio.wrap_future(self.submit(called))

    def close(self) -> None:
        """Lets go of connections and threads."""
        with self._in_this_process():
            store, outcomes, executor, events = self._store, self._outcomes, self._executor, self._events
            shelf = self._shelf
            self._store = self._outcomes = self._executor = self._events = self._shelf = None
        if shelf is not None:
            shelf.close()
        if events is not None:
            events.close()
        if outcomes is not None:
            outcomes.close()
        if executor is not None:
            executor.shutdown(wait=False)
        if store is not None:
            store.close()
        if self.db is None:
            # The environment may name another one by the next use.
            self._server = None

    def tell_left(self) -> None:
        """Tells the log what stays behind when all is done that would run now."""
        if clause := left_in(self.store).clause:
            log.info("nothing is left to run%s", clause)

    def find(self, id: str, queue: str = "") -> look.Found | None:
        """A job, wherever it is; `queue`: its own, where it is known."""
        return look.find(self.store, id, queue)

    def find_status(self, id: str, queue: str) -> Status | None:
        """Where `find` finds a job."""
        return look.status_of(self.store, id, queue)

    def find_info(self, id: str, queue: str = "") -> JobInfo | None:
        """What is to be known of a job, wherever it is."""
        found = self.find(id, queue)
        return None if found is None else info_of(self.store, found)

    def listed(self, wanted: Filter, limit: int, cursor: str | None) -> tuple[list[look.Found], str | None]:
        """The newest of such jobs, and where to go on."""
        return lists.jobs(self.store, *wanted, limit, cursor)

    def newest(self, most: int) -> list[lists.QueueJobs]:
        """All queues with their newest jobs, at most so many of each status."""
        return lists.newest(self.store, most)

    @property
    def acting(self) -> Acting:
        """What acts on jobs."""
        return Acting(self.store, self._options.max_jobs_per_status["cancelled"])

    def info(self, id: str, queue: str) -> JobInfo:
        """`find_info`, or `JobNotFound`."""
        info = self.find_info(id, queue)
        if info is None:
            raise JobNotFound.of(id)
        return info

    def logs(self, id: str, queue: str) -> list[LogEntry]:
        """What a job logged, oldest first, or `JobNotFound`."""
        return self.info(id, queue).logs

    def status(self, id: str, queue: str) -> Status:
        """Where a job is; of one whose history is trimmed, what its outcome says; else `JobNotFound`."""
        status = self.find_status(id, queue)
        if status is None:
            raise JobNotFound.of(id)
        return status

    def final_status(self, id: str, queue: str, ending: Ending) -> Status:
        """The status that a job ended with. Raises what the ending is, if neither it nor the history tells."""
        if isinstance(ending, bytes):
            return decode_outcome(ending).status
        if isinstance(ending, ResultExpired):
            found = self.find(id, queue)
            if found is not None and found.status in FINISHED:
                return found.status
        raise ending

    def value(self, id: str, outcome: Outcome) -> Any:
        """The result; decoded to its type, where this process declares the task. Raises how the job failed."""
        if outcome.status == "completed":
            task = self._tasks.get((outcome.queue, outcome.name))
            try:
                if task is None:
                    return msgspec.msgpack.decode(outcome.result, ext_hook=arrays.take)
                return task.result_decoder.decode(outcome.result)
            except UNREADABLE as error:
                why = "can't be read" if task is None else "does not fit its task's type"
                raise InvalidPayload(f"the result of job {id} {why}: {error}") from None
        failure = outcome.failure
        if outcome.status == "cancelled":
            raise JobCancelled(f"job {id} was cancelled" + (f": {failure.message}" if failure else ""))
        if failure is None:
            raise JobFailed(id, "Unknown", "the job failed, and nobody knows why")
        kind = VERDICTS.get(failure.type, JobFailed)
        raise kind(id, failure.type, failure.message, failure.traceback)


def _forget_all() -> None:
    """In a forked child: connections are its parent's, threads are not there, and locks may be held by nobody."""
    for client in list(_all):
        client._forget()


os.register_at_fork(after_in_child=_forget_all)
