"""How a supervisor's workers stand, told every second while somebody looks (`tempotask top`).

Who looks says so every few seconds (the order `look`) and finds the answer under a key of the supervisor, however many
look. Nothing of this costs anything while nobody does: no timer runs, and workers are not asked at all. What they do
is read from their control blocks, and from what the kernel counts of their processes.
"""

from __future__ import annotations

import contextlib
import math
import os
import socket
import time
from collections.abc import Callable, Iterable

import msgspec
import redis

from tempotask.errors import TempoTaskError
from tempotask.pool import linux
from tempotask.pool.batch import BEGAN, BUSY, JOBS, Look
from tempotask.pool.clerk import Clerk
from tempotask.pool.stacks import STATES
from tempotask.pool.watch import Watch
from tempotask.store.reading import Command, decode_head, pipe
from tempotask.store.records import UNREADABLE
from tempotask.store.store import Store

EVERY = 1.0
"""Seconds between two answers."""
COUNTS = 3.0
"""Seconds for which an answer counts: one that is late by as much comes from a supervisor that stands still."""
LONGEST = 60.0
"""Seconds for which somebody looks at most without saying so again."""


class WorkerStanding(msgspec.Struct):
    """What one worker does. None is what is not known, or not so now."""

    worker: str
    pid: int
    state: str
    """starting, idle, busy, spent, or ending: it was told to."""
    jobs: int
    """How many it has run, as of its last batch."""
    cpu_percent: float | None
    """Of one core, since the answer before; of its process alone, without those that it started."""
    memory_bytes: int
    seconds: float | None = None
    """How long the job that runs has been running, to a tenth of a second."""
    number: int | None = None
    """The place of that job in its batch, from 1 on."""
    batch: int | None = None
    """How many jobs the batch has, without those that were taken away again."""
    id: str | None = None
    queue: str | None = None
    name: str | None = None
    """Of the job; None when it had ended before anybody could look it up."""


class Standing(msgspec.Struct):
    """What a supervisor answers."""

    supervisor: str
    host: str
    pid: int
    workers: list[WorkerStanding]


def decode(told: bytes) -> Standing | None:
    """An answer; None for one of a version that this one can't read."""
    try:
        return msgspec.msgpack.decode(told, type=Standing)
    except UNREADABLE:
        return None


_Place = tuple[str, str, int]
"""Worker, turn and index of a job that runs."""


class Standings:
    """Answers for one supervisor. `after` calls in its loop, some seconds later; `watches` are those of all workers."""

    def __init__(
        self, clerk: Clerk, after: Callable[[float, Callable[[], None]], None], watches: Callable[[], Iterable[Watch]]
    ) -> None:
        self._clerk = clerk
        self._after = after
        self._watches = watches
        self._supervisor = ""
        self._until = 0.0
        self._ticking = self._telling = False
        self._used: dict[str, tuple[float, float]] = {}
        """When each worker was looked at, and how many seconds of the processor it had used."""
        self._known: dict[_Place, tuple[str, str, str]] = {}
        """Id, queue and name of the jobs of the last answer: one that runs long is looked up once."""

    def look(self, supervisor: str, seconds: float) -> None:
        """Somebody looks, for so many seconds from now on. `supervisor` is the id under which to answer."""
        if not 0 < seconds < math.inf:
            raise ValueError("no time")
        self._supervisor = supervisor
        self._until = max(self._until, time.monotonic() + min(seconds, LONGEST))
        if not self._ticking:
            self._ticking = True
            self._tick()

    def _tick(self) -> None:
        if time.monotonic() >= self._until:
            self._ticking = False
            self._used, self._known = {}, {}
            return
        # During an outage the clerk has other things to say, and this one would be old by then.
        if not self._telling:
            self._telling = True
            now, looked_at = time.monotonic(), list(self._watches())
            standings = [self._stand(watch, watch.peek(), now) for watch in looked_at]
            self._used = {watch.worker.id: self._used[watch.worker.id] for watch in looked_at}
            self._clerk.ask(lambda: self._tell(standings), self._told)
        self._after(EVERY, self._tick)

    def _stand(self, watch: Watch, peek: Look, now: float) -> tuple[WorkerStanding, _Place | None]:
        worker, words = watch.worker, watch.worker.block.words
        used, (before, used_before) = linux.cpu_seconds(watch.pid), self._used.get(worker.id, (now, 0.0))
        self._used[worker.id] = now, used
        state = "ending" if watch.retired else STATES.get(peek.state, "?")
        percent = 100 * (used - used_before) / (now - before) if now > before else None
        stood = WorkerStanding(worker.id, watch.pid, state, words[JOBS], percent, linux.resident(watch.pid))
        if peek.state != BUSY or peek.running is None:
            return stood, None
        stood.number, stood.batch = peek.running + 1, peek.limit
        # What ran before it in its batch took a moment: behind a long job nothing waits.
        stood.seconds = max(0.0, (linux.now_ns() - words[BEGAN]) / 1e9) if words[BEGAN] else None
        return stood, (worker.id, peek.name, peek.running)

    def _tell(self, standings: list[tuple[WorkerStanding, _Place | None]]) -> None:
        """In the clerk's thread. Tried once: what can't be told now is told in a second, and is not to be in the way of
        what must be done, on a server that is full say."""
        with contextlib.suppress(redis.RedisError, TempoTaskError):
            store = self._clerk.store
            self._known = self._looked_up(store, [place for _, place in standings if place is not None])
            for standing, place in standings:
                if place in self._known:
                    standing.id, standing.queue, standing.name = self._known[place]
            answer = Standing(self._supervisor, socket.gethostname(), os.getpid(), [one for one, _ in standings])
            key = f"{store.prefix}standing:{self._supervisor}"
            store.server.client().set(key, msgspec.msgpack.encode(answer), px=int(COUNTS * 1000))

    def _looked_up(self, store: Store, places: list[_Place]) -> dict[_Place, tuple[str, str, str]]:
        known = {place: self._known[place] for place in places if place in self._known}
        new = [place for place in places if place not in known]
        commands: list[Command] = [("LINDEX", f"claims:{worker}:{turn}", index) for worker, turn, index in new]
        for place, record in zip(new, pipe(store, commands), strict=True):
            if record:
                head = decode_head(record)
                known[place] = head.id, head.queue, head.name
        return known

    def _told(self, _: None) -> None:
        self._telling = False
