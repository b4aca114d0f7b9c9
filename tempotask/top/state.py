"""The state that is shown: queues, workers and failures, as one look after the other makes them out."""

from __future__ import annotations

import collections
import contextlib
import time
from collections.abc import Iterable

import msgspec
import redis

from tempotask.pool.standing import Standing, WorkerStanding, decode
from tempotask.store.look import Found
from tempotask.store.overview import Overview, QueueStanding, overview
from tempotask.store.reading import queue_names
from tempotask.store.shown import row
from tempotask.store.store import Store

STEP = 500
"""Queues that one command looks at: the server is never held up for long."""
NAMES_EVERY = 5.0
"""Seconds between two looks whether there are new queues."""
ASK_EVERY, ASK_FOR = 10.0, 15.0
"""Seconds between two times that supervisors are told that somebody looks, and for how long that counts."""
ANSWERS_WITHIN = 2.0
"""Seconds after which a supervisor that has never answered is said to be silent."""
WINDOW = 5.0
"""Seconds over which a rate is measured."""
FAILURES = 100
"""Failures that are known at most, the newest."""


class Queue(msgspec.Struct):
    """A queue as one line of the table."""

    name: str
    paused: bool
    waiting: int
    delayed: int
    running: int
    """Workers that run a job of it at this moment."""
    rate: float | None
    """Jobs a second that completed or failed, over the last 5 seconds at most; None at the first look."""
    oldest_seconds: float | None
    """How long the first in line has been there; None when nothing waits."""
    completed: int
    failed: int
    """Counted since the queue exists."""


class Worker(WorkerStanding, kw_only=True):
    """A worker as one line of the table: how it stands, and whose it is."""

    supervisor: str
    host: str


class Failure(msgspec.Struct):
    """A failed job as one line of the table."""

    id: str
    queue: str
    name: str
    at: float
    """When it ended, in Unix seconds."""
    tries: int
    error: str | None
    worker: str | None


class State(msgspec.Struct):
    """What one look shows."""

    at: float
    """In Unix seconds by the server's clock."""
    queues: list[Queue]
    workers: list[Worker]
    failures: list[Failure]
    """The newest first."""
    supervisors: int
    asked: list[str]
    """Supervisors that were asked a moment ago, and have not answered yet."""
    silent: list[str]
    """Those that do not answer: they stand still, or are of a version that does not know the question."""


class Looking:
    """Looks at a namespace again and again.

    Failures are read from the history of failed jobs, and of that only what has changed since the last look. Events
    would tell of them sooner, but are recorded only while somebody is subscribed: then every worker brings an event for
    each job that it settles, and the scripts write them all to a stream, so that looking would slow down what it looks
    at.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._names: list[str] = []
        self._names_at = -NAMES_EVERY
        self._asked: dict[str, float] = {}
        """When each supervisor was last told that somebody looks."""
        self._seen: dict[str, float] = {}
        """When each supervisor was first seen, or last answered."""
        self._marks: dict[str, str] = {}
        self._failures: dict[str, list[Failure]] = {}
        self._ended: collections.deque[tuple[float, dict[str, int]]] = collections.deque()
        self.commands = 0
        """How many commands all looks so far have sent."""

    def look(self) -> State:
        """Looks once. Raises `ServerUnavailable`."""
        now = time.monotonic()
        if now - self._names_at >= NAMES_EVERY:
            self._names, self._names_at = queue_names(self._store), now
            self.commands += 1
        some = [self._names[first : first + STEP] for first in range(0, len(self._names), STEP)]
        parts = [overview(self._store, names, self._marks, FAILURES) for names in some or [[]]]
        self.commands += len(parts)
        self._ask(parts[-1].supervisors, now)
        return self._state(parts, now)

    def _ask(self, supervisors: Iterable[str], now: float) -> None:
        """Tells those that have not been told for a while that somebody looks."""
        self._asked = {one: self._asked.get(one, -ASK_EVERY) for one in supervisors}
        due = [one for one, at in self._asked.items() if now - at >= ASK_EVERY]
        if not due:
            return
        self.commands += 2 + 2 * len(due)
        # On a server that is full nothing can be asked; queues and failures are seen all the same.
        with contextlib.suppress(redis.RedisError):
            self._store.notify([f"orders:{one}" for one in due], f"look {ASK_FOR * 1000:.0f}")
            self._asked |= dict.fromkeys(due, now)

    # -- what it shows

    def _state(self, parts: list[Overview], now: float) -> State:
        newest = parts[-1]
        standings = {name: decode(told) if told else None for name, told in newest.supervisors.items()}
        workers = [
            _worker(standing, worker)
            for standing in standings.values()
            if standing is not None
            for worker in standing.workers
        ]
        workers.sort(key=lambda worker: (worker.host, worker.supervisor, len(worker.worker), worker.worker))
        queues = [queue for part in parts for queue in part.queues]
        self._seen = {name: now if standing else self._seen.get(name, now) for name, standing in standings.items()}
        missing = sorted(name for name, standing in standings.items() if standing is None)
        silent = [name for name in missing if now - self._seen[name] >= ANSWERS_WITHIN]
        return State(
            at=newest.at,
            queues=self._queues(newest.at, queues, workers),
            workers=workers,
            failures=self._newest(queues),
            supervisors=len(standings),
            asked=[name for name in missing if name not in silent],
            silent=silent,
        )

    def _queues(self, at: float, queues: list[QueueStanding], workers: list[Worker]) -> list[Queue]:
        running = collections.Counter(worker.queue for worker in workers)
        ended = {queue.name: queue.ended["completed"] + queue.ended["failed"] for queue in queues}
        self._ended.append((at, ended))
        while len(self._ended) > 1 and (at - self._ended[0][0] >= WINDOW or self._ended[0][0] >= at):
            # Also what is not before this look: the server's clock was set back.
            self._ended.popleft()
        before, ended_before = self._ended[0]
        rates: dict[str, float] = {}
        if at > before:
            # A queue that has just come began at nothing.
            rates = {name: max(0, now - ended_before.get(name, 0)) / (at - before) for name, now in ended.items()}
        return [
            Queue(
                name=queue.name,
                paused=queue.paused,
                waiting=queue.waiting,
                delayed=queue.delayed,
                running=running[queue.name],
                rate=rates.get(queue.name),
                oldest_seconds=queue.oldest_seconds,
                completed=queue.ended["completed"],
                failed=queue.ended["failed"],
            )
            for queue in queues
        ]

    def _newest(self, queues: list[QueueStanding]) -> list[Failure]:
        for queue in queues:
            if queue.failures is not None:
                self._failures[queue.name] = [_failure(found) for found in queue.failures[:FAILURES]]
        # Only what was read is not read again.
        self._marks = {queue.name: queue.mark for queue in queues}
        every = [failure for some in self._failures.values() for failure in some]
        return sorted(every, key=lambda failure: failure.at, reverse=True)[:FAILURES]


def _worker(standing: Standing, worker: WorkerStanding) -> Worker:
    return Worker(supervisor=standing.supervisor, host=standing.host, **msgspec.structs.asdict(worker))


def _failure(found: Found) -> Failure:
    told = row(found)
    return Failure(told.id, told.queue, told.name, told.finished_at or 0.0, told.tries or 0, told.error, told.worker)
