"""Mapping: a flow of many inputs through a queue, in which only so many are in flight at a time.

    inputs ──read──► chunk ──enqueue──► the queue ──workers──► outcomes ──told, asked──► finished ──► whoever maps
                       ▲                                                                                  │
                       └───────────────── room: what was handed out makes place ◄─────────────────────────┘

An input is *in flight* from when it is read until its result has been handed out and the next one is asked for. All
that costs something is done for many at a time: inputs are enqueued by the thousand, one call ahead; outcomes are asked
for by the thousand, the oldest chunk first, and as late as there is nothing else to do: by then most of it has ended,
which costs the server far less than telling each end. What has not ended then is told, by the listener of
`store/outcomes.py`, which also asks after a while if nobody did.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import AsyncGenerator, Generator
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET, Raw

from tempotask import payload
from tempotask.durations import patience
from tempotask.errors import InvalidOptions, ServerUnavailable, TempoTaskError
from tempotask.inputs import Wake, inputs_of
from tempotask.names import check_id
from tempotask.options import GivenOptions, JobOptions, whole
from tempotask.store.addition import Addition, NewJob
from tempotask.store.outcomes import BROKEN
from tempotask.store.records import NIL, OUTSIDE_BYTES, Record, decode_outcome, encode

if TYPE_CHECKING:
    from tempotask.producer import Producer
    from tempotask.store.outcomes import Ending, Wait
    from tempotask.store.store import Store
    from tempotask.store.stream import Stream

IN_FLIGHT = 8192
"""Inputs in flight, unless somebody says otherwise. Workers take what fills 30 ms, so at 100,000 jobs a second 3,000
are in their hands; as many may wait for them, and some results for whoever maps. It needs a few MiB."""
IN_FLIGHT_BYTES = 64 * 2**20
"""Bytes of inputs and results in flight, unless somebody says how many there are to be: they may be large."""
FIRST, THOUSAND = 64, 1000
"""Jobs in a chunk: in the first, so that there is a result soon, and at most."""
CHUNK_BYTES = 4 * 2**20
"""Bytes after which a chunk is full."""
PAUSE, LONGEST_PAUSE = 1e-5, 0.02
"""Seconds after which room is filled though less than a quarter is free: for each input that may be in flight, and at
most. Where they are few, each may be what a worker waits for; where they are many, it is better to add many at once:
workers take a fair part of what waits, so that little would go in many small batches."""
KEEP = 3600.0
"""Seconds that outcomes are kept at least: a server may be away, and who maps may be slow."""


class Mapped(msgspec.Struct, frozen=True, gc=False):
    """An input, and what became of it."""

    index: int
    """Its number, from 0."""
    id: str
    """Its job's."""
    input: Any
    result: Any
    error: TempoTaskError | None
    """Why there is no result."""


class _Held(msgspec.Struct, frozen=True, gc=False):
    """An input in flight."""

    order: int
    """Of how many it was read behind."""
    index: int
    id: str
    input: Any
    size: int
    """Bytes, encoded."""


class _Chunk:
    """Jobs that were added by one call, and the waiting for them. It is small: `Outcomes` may hold it for a minute."""

    __slots__ = ("_touched", "_wake", "left", "wait")

    def __init__(self, jobs: int, touched: deque[_Chunk], wake: Wake) -> None:
        self.left = jobs
        """How many have not ended."""
        self.wait: Wait
        self._touched = touched
        self._wake = wake

    def notify(self) -> None:
        """Some of its jobs have ended."""
        self._touched.append(self)
        self._wake()


class _Bell:
    """Wakes who waits in a thread, or in an event loop. Ringing twice is cheap."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._rung = False
        self._in_loop: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None

    def ring(self) -> None:
        if self._rung:
            return
        self._rung = True
        self._event.set()
        if self._in_loop is not None:
            loop, event = self._in_loop
            with contextlib.suppress(RuntimeError):  # a loop that was closed
                loop.call_soon_threadsafe(event.set)

    def clear(self) -> None:
        """What rings from now on is heard; look at what there is behind this."""
        self._event.clear()
        if self._in_loop is not None:
            self._in_loop[1].clear()
        # Behind the others: who rings between has changed something before, which is looked at next.
        self._rung = False

    def wait(self, seconds: float | None) -> None:
        self._event.wait(seconds)

    async def await_(self, seconds: float | None) -> None:
        if self._in_loop is None:
            self._in_loop = asyncio.get_running_loop(), asyncio.Event()
            if self._rung:
                return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._in_loop[1].wait()


_open: weakref.WeakSet[Flow] = weakref.WeakSet()
"""Those that have begun, and are to be closed when the program ends."""


class Flow:
    """Many inputs on their way through a queue; see the page of this module.

    `some` reads, enqueues, and hands out what has ended, as often as it is called; between two calls nothing is read
    that was not allowed for before. One thread, or one task, goes through a flow. Nothing begins before the first call.

    `inputs`: any iterable, or in `asome` an async one too. Collections are read by who calls, async iterables in its
    event loop, everything else in a thread of its own, since reading may take time.
    `in_flight`: inputs in flight at most. If left out, `IN_FLIGHT` of them, fewer if they or their results are large.
    `ordered`: hands out in the order of the inputs.
    `options`: of each job; without `id` and `repeat`.
    `ids`: what the jobs' ids begin with; `-` and the index follow. Given ones are those of a flow that may be taken up
    again: what a flow before added under such an id, and nobody has been handed, is not added again.
    `numbered`: inputs are pairs of index and input; else indices count from 0.

    Raises:
        InvalidOptions, InvalidName: what makes no sense.
    """

    def __init__(
        self,
        producer: Producer,
        queue: str,
        name: str,
        inputs: object,
        *,
        in_flight: int | None = None,
        ordered: bool = False,
        options: GivenOptions = None,
        ids: str | None = None,
        numbered: bool = False,
    ) -> None:
        self.in_flight = IN_FLIGHT if in_flight is None else whole(1)("in_flight", in_flight)
        self._bounded = in_flight is None
        """Whether bytes count too."""
        if not isinstance(ordered, bool):
            raise InvalidOptions(f"ordered={ordered!r}: give True or False")
        self._producer, self._client = producer, producer._client
        self.queue, self.name = queue, name
        self._ordered = ordered
        self._kind = producer._kind(queue, name, _kept(producer, queue, name, options))
        self._given = ids is not None
        if ids is not None:
            check_id(ids)
            check_id(f"{ids}-{10**15}")
        self.ids = ids or ""
        self._bell = _Bell()
        self._inputs = inputs_of(inputs, self._bell.ring, numbered=numbered)
        self._lock = threading.RLock()
        self._stream: Stream | None = None
        self._under_way = False
        self._size = FIRST
        self._sent_at = 0.0
        self._pause = min(LONGEST_PAUSE, self.in_flight * PAUSE)
        self.read = 0
        """Inputs read so far."""
        self.handed = 0
        """Of them, those whose results were handed out."""
        self._handing: list[str] = []
        """Ids of those that were handed out last, and count as in flight until more is asked for."""
        self._taken: list[str] = []
        """Ids of those whose outcomes nobody needs any more."""
        self._forgetting: Future[None] | None = None
        self._held: dict[str, _Held] = {}
        self._chunks: set[_Chunk] = set()
        self._unasked: deque[_Chunk] = deque()
        self._touched: deque[_Chunk] = deque()
        self._finished: dict[int, tuple[_Held, Ending]] = {}
        """By order, as they came."""
        self._bytes = 0
        """Of inputs in flight, and of results that are here."""
        self._mean = 0.0
        """Bytes of an input and its result."""
        self._away = False
        """Whether the server could not be reached."""
        self._closed = False
        self._pid = os.getpid()

    # -- going through it

    def some(self, timeout: float | None = None) -> list[Mapped]:
        """The next that have ended, one at least: at most a quarter of those in flight, so that workers have something
        to do meanwhile. An empty list when there are no more (`over`), or after `timeout` seconds.

        Raises:
            What reading an input raises; ServerUnavailable, ServerFull: the server does not take it. `close` follows.
        """
        seconds = patience(timeout)
        end = None if seconds is None else time.monotonic() + seconds
        while True:
            self._bell.clear()
            if (batch := self._step()) or self.over:
                return batch
            if end is not None and time.monotonic() >= end:
                return []
            self._bell.wait(self._patience(end))

    async def asome(self, timeout: float | None = None) -> list[Mapped]:
        """`some`, to be awaited."""
        seconds = patience(timeout)
        end = None if seconds is None else time.monotonic() + seconds
        while True:
            self._bell.clear()
            if (batch := await self._client.apart(self._step)) or self.over:
                return batch
            if end is not None and time.monotonic() >= end:
                return []
            await self._bell.await_(self._patience(end))

    def each(self) -> Generator[Mapped, None, None]:
        """All of them, as they end; closes the flow at the end, however it comes."""
        try:
            while batch := self.some():
                yield from batch
        finally:
            self.close()

    async def aeach(self) -> AsyncGenerator[Mapped, None]:
        """`each`, for `async for`."""
        try:
            while batch := await self.asome():
                for one in batch:
                    yield one
        finally:
            await asyncio.shield(self._client.apart(self.close))

    def results(self, on_error: str) -> Generator[Any, None, None]:
        """Their results; `on_error`: "raise" the first error, or "yield" errors in the place of results.

        Raises:
            InvalidOptions: another `on_error`.
        """
        raises = _raises(on_error)

        def results() -> Generator[Any, None, None]:
            with contextlib.closing(self.each()) as each:
                for one in each:
                    if one.error is not None and raises:
                        raise one.error
                    yield one.result if one.error is None else one.error

        return results()

    def aresults(self, on_error: str) -> AsyncGenerator[Any, None]:
        """`results`, for `async for`."""
        raises = _raises(on_error)

        async def results() -> AsyncGenerator[Any, None]:
            async with contextlib.aclosing(self.aeach()) as each:
                async for one in each:
                    if one.error is not None and raises:
                        raise one.error
                    yield one.result if one.error is None else one.error

        return results()

    @property
    def over(self) -> bool:
        """Whether all has been handed out."""
        return self._closed or (self._inputs.ended and self.handed == self.read and not self._handing)

    def close(self) -> None:
        """Ends the flow: of its jobs those that have not started are cancelled, nothing more is read, nothing is kept.

        What a worker has taken already may run; nobody waits for it.
        """
        if self._pid != os.getpid():
            # Forked: it is our parent's, and so are its lock and its thread.
            return
        with self._lock:
            if self._closed:
                return
            self._closed = True
            _open.discard(self)
            self._inputs.close()
            chunks, self._chunks = self._chunks, set()
            for chunk in chunks:
                self._client.outcomes.end(chunk.wait)
            with contextlib.suppress(TempoTaskError):
                if not self._away:
                    self._let_go()
            self._held.clear()
            self._finished.clear()
            if self._stream is not None:
                self._stream.close()

    def _let_go(self) -> None:
        _forget(self._client.store, self._taken + self._handing, self._forgetting)
        self._answered()
        if self._held:
            self._client.acting.cancel_begun_with(f"{self.ids}-", self.queue)

    # -- step by step

    def _step(self) -> list[Mapped]:
        with self._lock:
            if self._closed:
                return []
            if self._stream is None:
                self._begin()
            try:
                self._make_room()
                self._fill()
                while not (batch := self._collect()) and (chunk := self._next_unasked()) is not None:
                    self._answered()
                    self._client.outcomes.ask(chunk.wait)
                if batch and (chunk := self._next_unasked()) is not None:
                    # While whoever maps is at work on this batch, the next comes.
                    self._client.outcomes.ask_soon(chunk.wait)
            except ServerUnavailable:
                self._away = True
                raise
            return batch

    def _begin(self) -> None:
        _open.add(self)
        self._stream = self._client.stream()
        self.ids = self.ids or self._client.store.new_call()

    def _make_room(self) -> None:
        """What was handed out last has been taken."""
        self._taken += self._handing
        self._handing.clear()
        if len(self._taken) >= THOUSAND:
            self._forget()
        self._inputs.allow(self.handed + self.in_flight)

    def _forget(self) -> None:
        """Lets go of outcomes, in another thread: millions of them would fill the server."""
        taken, self._taken = self._taken, []
        self._forgetting = self._client.submit(_forget, self._client.store, taken, self._forgetting)

    def _room(self) -> int:
        room = self.in_flight - (self.read - self.handed) - len(self._handing)
        if self._bounded and self._mean > 0:
            room = min(room, int((IN_FLIGHT_BYTES - self._bytes) / self._mean))
        return room

    def _fill(self) -> None:
        """Enqueues what there is room for, if that is a quarter of all, or a little for some time. At first it is
        less, so that the first result comes soon."""
        room = self._room()
        if room < self.in_flight // 4 and self._sent_at + self._pause > time.monotonic():
            return
        while room > 0 and not self._inputs.ended:
            most = min(room, self._size)
            if not self._add(most) or most < THOUSAND:
                break
            room = self._room()
        self._size = min(THOUSAND, self._size * 2)

    def _add(self, most: int) -> bool:
        """Reads and enqueues a chunk, of so many at most; whether there was something."""
        before, addition = self.read, Addition(self._client.store.new_call())
        ids = self._make(addition, most)
        if ids:
            self._send(addition, ids)
            self._sent_at = time.monotonic()
        return self.read > before

    def _send(self, addition: Addition, ids: list[str]) -> None:
        outcomes, chunk = self._client.outcomes, _Chunk(len(ids), self._touched, self._bell.ring)
        chunk.wait = outcomes.begin(ids, chunk.notify, True)
        self._chunks.add(chunk)
        self._answered()
        assert self._stream is not None
        self._under_way = True
        self._stream.send(addition)
        if self._given:
            self._client.reruns += 1
        self._unasked.append(chunk)
        # Whoever maps may come back after hours only.
        outcomes.ask_later(chunk.wait)

    def _make(self, addition: Addition, most: int) -> list[str]:
        """Reads inputs, and makes jobs of them, whose ids it returns. Those that can't be sent have finished."""
        kind, now, prefix = self._kind, self._client.store.now(), f"{self.ids}-"
        queue, name, priority, run = self.queue, self.name, kind.priority, kind.run
        due = kind.due if kind.delay is None else now + kind.delay
        plain = not self._given and (due is None or due <= now)
        largest, group, first = self._producer._largest, None, self._bytes
        jobs, ids = list[NewJob](), list[str]()
        for index, data in self._inputs.some(most):
            id, order = f"{prefix}{index}", self.read
            self.read = order + 1
            try:
                encoded = payload.to_bytes(data)
                if len(encoded) > largest:
                    raise payload.oversize(len(encoded), largest)
            except payload.UNENCODABLE as error:
                wrong = error if isinstance(error, TempoTaskError) else payload.refusal(data, error)
                refused = type(wrong)(f"input {index}: {wrong}")
                self._finished[order] = _Held(order, index, id, data, 0), refused
                continue
            size = len(encoded)
            raw = NIL if encoded == b"\xc0" else Raw(encoded)
            record = Record("", id, queue, priority, name, now, 0, raw, run)
            self._held[id] = _Held(order, index, id, data, size)
            ids.append(id)
            self._bytes += size
            if plain and size <= OUTSIDE_BYTES:
                if group is None:
                    group = addition.group(queue, priority)
                group.append(encode(record))
                addition.number += 1
            else:
                jobs.append(NewJob(record, due, self._given, size > OUTSIDE_BYTES))
            if self._bytes - first > CHUNK_BYTES:
                break
        for job in jobs if not self._given else self._unknown(jobs):
            addition.add(job)
        return ids if not self._given else [id for id in ids if id in self._held]

    def _unknown(self, jobs: list[NewJob]) -> list[NewJob]:
        """Those of which nobody knows how they ended. The others were added by a flow before, which did not live to
        hand them out; what it cancelled is to run."""
        unknown = []
        endings = self._client.store.outcomes_of([job.record.id for job in jobs])
        for job, ending in zip(jobs, endings, strict=True):
            if ending is None or decode_outcome(ending).status == "cancelled":
                unknown.append(job)
            else:
                self._end(self._held.pop(job.record.id), ending)
        return unknown

    def _answered(self) -> None:
        """Reads what the server said of the last chunk."""
        if self._under_way and self._stream is not None:
            self._under_way = False
            self._stream.created()

    def _next_unasked(self) -> _Chunk | None:
        """The oldest chunk for which nobody has asked; of it most has ended."""
        while self._unasked:
            chunk = self._unasked.popleft()
            if chunk.left:
                return chunk
        return None

    def _collect(self) -> list[Mapped]:
        """What has ended, and can be handed out."""
        finished = self._finished
        while self._touched:
            chunk = self._touched.popleft()
            arrived = chunk.wait.take()
            for id, ending in arrived.items():
                self._end(self._held.pop(id), ending)
            chunk.left -= len(arrived)
            if chunk.left == 0 and chunk in self._chunks:
                self._chunks.discard(chunk)
                self._client.outcomes.end(chunk.wait)
        batch: list[Mapped] = []
        most = max(1, min(self.in_flight // 4, THOUSAND))
        while finished and len(batch) < most:
            order = self.handed if self._ordered else next(iter(finished))
            if order not in finished:
                break
            batch.append(self._mapped(*finished.pop(order)))
            self.handed += 1
        self._handing = [one.id for one in batch]
        return batch

    def _end(self, one: _Held, ending: Ending) -> None:
        self._finished[one.order] = one, ending
        if isinstance(ending, bytes):
            self._bytes += len(ending)
            self._mean += (one.size + len(ending) - self._mean) / 64

    def _mapped(self, one: _Held, ending: Ending) -> Mapped:
        self._bytes -= one.size
        if not isinstance(ending, bytes):
            return Mapped(one.index, one.id, one.input, None, ending)
        self._bytes -= len(ending)
        try:
            return Mapped(one.index, one.id, one.input, self._client.value(one.id, decode_outcome(ending)), None)
        except TempoTaskError as error:
            return Mapped(one.index, one.id, one.input, None, error)

    def _patience(self, end: float | None) -> float | None:
        """How long to wait at most, in seconds, when nothing happens."""
        now, ends = time.monotonic(), [] if end is None else [end]
        if not self._inputs.ended and self._room() > 0:
            ends.append(self._sent_at + self._pause)
        ends = [one for one in ends if one > now]
        return min(ends) - now if ends else None


def _kept(producer: Producer, queue: str, name: str, options: GivenOptions) -> JobOptions:
    """The options of the jobs. Their outcomes are kept for a while, whatever their task says."""
    given = JobOptions.of(options)
    for field in ("id", "repeat"):
        if getattr(given, field) is not UNSET:
            raise InvalidOptions(f"a map takes no option {field!r}: its jobs have ids of their own, and run once")
    task = producer._tasks.get((queue, name))
    if given.keep_result is UNSET and (task is None or float(task.run.keep_result or 0) < KEEP):
        # Given only where it must be: jobs without options of their own run faster.
        return JobOptions(**{**given.given(), "keep_result": KEEP})
    return given


def _forget(store: Store, ids: list[str], before: Future[None] | None) -> None:
    """Lets go of these outcomes, and has done so with those before. Tried once: else they go when they expire."""
    for first in range(0, len(ids), THOUSAND):
        with contextlib.suppress(*BROKEN):
            store.once("forget", *ids[first : first + THOUSAND])
    if before is not None:
        before.result()


def _raises(on_error: object) -> bool:
    if on_error not in ("raise", "yield"):
        raise InvalidOptions(f'on_error={on_error!r}: give "raise" or "yield"')
    return on_error == "raise"


def _close_all() -> None:
    """At the end of the program: a traceback may hold what goes through a flow until nothing works any more."""
    for flow in list(_open):
        flow.close()


atexit.register(_close_all)
