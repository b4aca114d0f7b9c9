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

from tempotask import linux
from tempotask.errors import TempoTaskError
from tempotask.pool.clerk import Clerk
from tempotask.pool.control_block import BEGAN, BUSY, JOBS, Look
from tempotask.pool.stacks import STATES
from tempotask.pool.watch import Watch
from tempotask.store.reading import Command, decode_head
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
    """How long the job that runs has been running, to a fraction of a second."""
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
_Seen = tuple[WorkerStanding, _Place | None]


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
        """When each worker was measured, and how many seconds of the processor it had used."""
        self._percents: dict[str, float] = {}
        """What came of it."""
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
            if not self._telling:
                self._used, self._known = {}, {}
            return
        # During an outage the clerk has other things to say, and this one would be old by then.
        if not self._telling:
            self._telling = True
            watches = list(self._watches())
            self._clerk.ask(lambda: self._tell(watches), self._told)
        self._after(EVERY, self._tick)

    def _told(self, _: None) -> None:
        self._telling = False

    # -- in the clerk's thread: a job that is short is to be looked up as soon as it is seen

    def _tell(self, watches: list[Watch]) -> None:
        """Tried once: what can't be told now is told in a second, and is not to be in the way of what must be done, on
        a server that is full say."""
        with contextlib.suppress(redis.RedisError, TempoTaskError):
            store = self._clerk.store
            self._measure(watches)
            seen = self._seen(watches)
            self._look_up(store, seen)
            # Jobs that had ended by then are not named; but their workers may be at others.
            nameless = {name for name, (standing, place) in seen.items() if place is not None and standing.id is None}
            if nameless:
                seen |= self._seen([watch for watch in watches if watch.worker.id in nameless])
                self._look_up(store, seen)
            self._known = {place: self._known[place] for _, place in seen.values() if place in self._known}
            workers = [standing for standing, _ in seen.values()]
            answer = Standing(self._supervisor, socket.gethostname(), os.getpid(), workers)
            key = f"{store.prefix}standing:{self._supervisor}"
            store.server.client().set(key, msgspec.msgpack.encode(answer), px=int(COUNTS * 1000))

    def _measure(self, watches: list[Watch]) -> None:
        """How much of a core each has used since it was measured last."""
        now, before = time.monotonic(), self._used
        self._used = {watch.worker.id: (now, linux.cpu_seconds(watch.pid)) for watch in watches}
        self._percents = {
            name: 100 * (used - before[name][1]) / (now - before[name][0])
            for name, (_, used) in self._used.items()
            if name in before and now > before[name][0]
        }

    def _seen(self, watches: list[Watch]) -> dict[str, _Seen]:
        """How these workers stand, without those whose block was closed meanwhile: they have died."""
        seen = {}
        for watch in watches:
            with contextlib.suppress(ValueError):
                seen[watch.worker.id] = self._stand(watch, watch.peek())
        return seen

    def _stand(self, watch: Watch, peek: Look) -> _Seen:
        name, words = watch.worker.id, watch.worker.block.words
        state = "ending" if watch.retired else STATES.get(peek.state, "?")
        memory = linux.resident(watch.pid)
        stood = WorkerStanding(name, watch.pid, state, words[JOBS], self._percents.get(name), memory)
        if peek.state != BUSY or peek.running is None:
            return stood, None
        stood.number, stood.batch = peek.running + 1, peek.limit
        # What ran before it in its batch took a moment: behind a long job nothing waits.
        stood.seconds = max(0.0, (linux.now_ns() - words[BEGAN]) / 1e9) if words[BEGAN] else None
        return stood, (name, peek.name, peek.running)

    def _look_up(self, store: Store, seen: dict[str, _Seen]) -> None:
        """Puts down which jobs run."""
        new = [place for _, place in seen.values() if place is not None and place not in self._known]
        commands: list[Command] = [("LINDEX", f"claims:{worker}:{turn}", index) for worker, turn, index in new]
        for found, record in zip(new, store.read_many(commands), strict=True):
            if record:
                head = decode_head(record)
                self._known[found] = head.id, head.queue, head.name
        for standing, place in seen.values():
            if place in self._known:
                standing.id, standing.queue, standing.name = self._known[place]
