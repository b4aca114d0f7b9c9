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
from collections.abc import AsyncGenerator, Generator
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import msgspec

from tempotask import arrays
from tempotask.errors import InvalidOptions, JobTimeout, NotDurable, ServerFull, ServerUnavailable, TempoTaskError
from tempotask.mapping.bell import Bell
from tempotask.mapping.inputs import AwaitedInputs, inputs_of
from tempotask.mapping.intake import Held, Intake
from tempotask.mapping.waits import Waits
from tempotask.options import whole
from tempotask.store.connect import BROKEN
from tempotask.store.numbers import CHUNK
from tempotask.store.records import decode_outcome

if TYPE_CHECKING:
    from tempotask.producer import Producer
    from tempotask.store.store import Store
    from tempotask.store.wait import Ending

IN_FLIGHT = 8192
"""Inputs in flight, unless somebody says otherwise. A worker takes what fills 100 ms, and 1,000 at most; as many may
wait for it, and some results for whoever maps. It needs a few MiB."""
IN_FLIGHT_BYTES = 64 * 2**20
"""Bytes of inputs and results in flight, unless somebody says how many there are to be: they may be large."""
FEW = 16
"""Inputs in flight, however large they are."""
FIRST = 64
"""Jobs in the first chunk, so that there is a result soon."""
PAUSE, LONGEST_PAUSE = 1e-5, 0.02
"""Seconds after which room is filled though less than a quarter is free: for each input that may be in flight, and at
most. Where they are few, each may be what a worker waits for; where they are many, it is better to add many at once:
workers take a fair part of what waits, so that little would go in many small batches."""


class Mapped(msgspec.Struct, frozen=True):
    """What became of an input."""

    id: str
    """Its job's."""
    result: Any
    error: TempoTaskError | None
    """Why there is no result."""


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
    ) -> None:
        self.in_flight = IN_FLIGHT if in_flight is None else whole(1)("in_flight", in_flight)
        self._bounded = in_flight is None
        """Whether bytes count too."""
        if not isinstance(ordered, bool):
            raise InvalidOptions(f"ordered={ordered!r}: give True or False")
        self._ordered = ordered
        self._client, self._queue = producer.client, queue
        self._bell = Bell()
        self._inputs = inputs_of(inputs, self._bell.ring)
        self._intake = Intake(producer, queue, name, self._inputs)
        self._waits = Waits(self._client, self._bell.ring)
        self._lock = threading.RLock()
        self._size = FIRST
        """Of the next chunk."""
        self._sent_at = 0.0
        self._pause = min(LONGEST_PAUSE, self.in_flight * PAUSE)
        self.handed = 0
        """Inputs whose results were handed out so far."""
        self._handing: list[str] = []
        """Ids of those that were handed out last, and count as in flight until more is asked for."""
        self._taken: list[str] = []
        """Ids of those whose outcomes nobody needs any more."""
        self._forgetting: Future[None] | None = None
        self._held: dict[str, Held] = {}
        """Inputs in flight that have not ended, by the ids of their jobs."""
        self._finished: dict[int, tuple[Held, Ending]] = {}
        """Those that have, by index, as they came."""
        self._bytes = 0
        """Of inputs in flight, and of results that are here."""
        self._mean = 0.0
        """Bytes of an input and its result, lately."""
        self._left_off = False
        """Whether it was left for later to read what there may be."""
        self._away = False
        """Whether the server could not be reached."""
        self._begun = self._closed = False
        self._pid = os.getpid()

    # -- going through it

    def some(self) -> list[Mapped]:
        """The next that have ended, one at least: at most a quarter of those in flight, so that workers have something
        to do meanwhile. An empty list when there are no more.

        Raises:
            What reading an input raises; ServerUnavailable, ServerFull: the server does not take it. `close` follows.
        """
        while True:
            self._bell.clear()
            if (batch := self._step()) or self.over:
                return batch
            self._bell.wait(self._patience())

    async def asome(self) -> list[Mapped]:
        """`some`, to be awaited."""
        if isinstance(self._inputs, AwaitedInputs):
            self._inputs.attach()
        while True:
            self._bell.clear()
            if (batch := await self._client.apart(self._step)) or self.over:
                return batch
            await self._bell.awaited(self._patience())

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
            InvalidOptions: another `on_error`, or async inputs.
        """
        if isinstance(self._inputs, AwaitedInputs):
            raise InvalidOptions("the inputs are async; go through them with amap, in an async for")
        return self._told(raises=_raises(on_error))

    def aresults(self, on_error: str) -> AsyncGenerator[Any, None]:
        """`results`, for `async for`."""
        return self._atold(raises=_raises(on_error))

    # Both close what they go through, which the end of a generator alone does not.

    def _told(self, *, raises: bool) -> Generator[Any, None, None]:
        with contextlib.closing(self.each()) as each:
            for one in each:
                yield _result(one, raises=raises)

    async def _atold(self, *, raises: bool) -> AsyncGenerator[Any, None]:
        async with contextlib.aclosing(self.aeach()) as each:
            async for one in each:
                yield _result(one, raises=raises)

    @property
    def read(self) -> int:
        """Inputs read so far."""
        return self._intake.read

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
            try:
                if self._begun and not self._away:
                    self._let_go()
            finally:
                self._waits.close()
                self._intake.close()
                self._held.clear()
                self._finished.clear()

    def _let_go(self) -> None:
        with contextlib.suppress(ServerUnavailable):
            with contextlib.suppress(ServerFull, NotDurable):
                # What is on its way must be there to be cancelled.
                self._intake.answered()
            if self._held:
                self._client.acting.cancel_begun_with(f"{self._intake.ids}-", self._queue)
        self._take_arrived()
        unseen = [one.id for one, _ in self._finished.values()]
        _forget(self._client.store, self._taken + self._handing + unseen + list(self._held), self._forgetting)
        for _, ending in self._finished.values():
            if isinstance(ending, bytes):
                arrays.discard(decode_outcome(ending).result)

    # -- step by step

    def _step(self) -> list[Mapped]:
        with self._lock:
            if self._closed:
                return []
            if not self._begun:
                self._begun = True
                _open.add(self)
            try:
                self._make_room()
                self._fill()
                while not (batch := self._collect()):
                    # Before this thread sleeps: what the server has not got, or not taken, nobody else would notice.
                    self._confirm()
                    if (wait := self._waits.oldest()) is None:
                        break
                    self._client.outcomes.ask(wait)
                if batch and (wait := self._waits.oldest()) is not None:
                    # While whoever maps is at work on this batch, the next comes.
                    self._client.outcomes.ask_soon(wait)
            except ServerUnavailable:
                self._away = True
                raise
            return batch

    def _make_room(self) -> None:
        """What was handed out last has been taken."""
        self._taken += self._handing
        self._handing.clear()
        if len(self._taken) >= CHUNK:
            self._forget()
        self._inputs.allow(self.handed + self.in_flight)

    def _forget(self) -> None:
        """Lets go of outcomes, in another thread: millions of them would fill the server."""
        taken, self._taken = self._taken, []
        self._forgetting = self._client.submit(_forget, self._client.store, taken, self._forgetting)

    def _room(self) -> int:
        """How many inputs more may be in flight."""
        held = self.read - self.handed + len(self._handing)
        room = self.in_flight - held
        mean = max(self._mean, self._bytes / max(held, 1))
        if self._bounded and mean > 0:
            room = min(room, max(FEW - held, int((IN_FLIGHT_BYTES - self._bytes) / mean)))
        return room

    def _fill(self) -> None:
        """Enqueues what there is room for, if that is a quarter of all, or a little for some time. At first it is
        less, so that the first result comes soon."""
        room = self._room()
        self._left_off = room < self.in_flight // 4 and self._sent_at + self._pause > time.monotonic()
        if self._left_off:
            return
        while room > 0 and not self._inputs.ended:
            most = min(room, self._size)
            if not self._add(most):
                break
            if most < CHUNK:
                self._left_off = True
                break
            room = self._room()
        self._size = min(CHUNK, self._size * 2)

    def _add(self, most: int) -> bool:
        """Reads and enqueues a chunk, of so many at most; whether there was something."""
        chunk = self._intake.take(most)
        for one, why in chunk.refused:
            self._end(one, why)
        if chunk.held:
            self._held |= chunk.held
            self._bytes += sum([one.size for one in chunk.held.values()])
            waiting = self._waits.begin(list(chunk.held))
            self._confirm()
            self._intake.send(chunk)
            self._sent_at = time.monotonic()
            self._waits.sent(waiting)
        return bool(chunk.held or chunk.refused)

    def _confirm(self) -> None:
        """Waits until the server has what was sent. Raises what `Intake.answered` does."""
        self._intake.answered()
        self._waits.added()

    def _collect(self) -> list[Mapped]:
        """What has ended, and can be handed out."""
        finished = self._finished
        self._take_arrived()
        batch: list[Mapped] = []
        most = max(1, min(self.in_flight // 4, CHUNK))
        while finished and len(batch) < most:
            index = self.handed if self._ordered else next(iter(finished))
            if index not in finished:
                break
            batch.append(self._mapped(*finished.pop(index)))
            self.handed += 1
        self._handing = [one.id for one in batch]
        return batch

    def _take_arrived(self) -> None:
        for id, ending in self._waits.arrived():
            self._end(self._held.pop(id), ending)

    def _end(self, one: Held, ending: Ending) -> None:
        self._finished[one.index] = one, ending
        if isinstance(ending, bytes):
            self._bytes += len(ending)
            size = one.size + len(ending)
            self._mean += (size - self._mean) / 64 if self._mean else size

    def _mapped(self, one: Held, ending: Ending) -> Mapped:
        self._bytes -= one.size
        if not isinstance(ending, bytes):
            return Mapped(one.id, None, ending)
        self._bytes -= len(ending)
        try:
            return Mapped(one.id, self._client.value(one.id, decode_outcome(ending)), None)
        except TempoTaskError as error:
            if isinstance(error, JobTimeout) and not error.id:
                raise  # the time of the handler that maps is over
            return Mapped(one.id, None, error)

    def _patience(self) -> float | None:
        """How long to wait at most, in seconds, when nothing happens."""
        if not self._left_off or self._inputs.ended or self._room() <= 0:
            return None
        return max(0.0, self._sent_at + self._pause - time.monotonic())


def _forget(store: Store, ids: list[str], before: Future[None] | None) -> None:
    """Lets go of these outcomes, and has done so with those before. Tried once: else they go when they expire."""
    with contextlib.suppress(*BROKEN):
        store.forget_outcomes(ids)
    if before is not None:
        before.result()


def _result(one: Mapped, *, raises: bool) -> Any:
    if one.error is None:
        return one.result
    if raises:
        raise one.error
    return one.error


def _raises(on_error: object) -> bool:
    if on_error not in ("raise", "yield"):
        raise InvalidOptions(f'on_error={on_error!r}: give "raise" or "yield"')
    return on_error == "raise"


def _close_all() -> None:
    """At the end of the program: a traceback may hold what goes through a flow until nothing works any more."""
    for flow in list(_open):
        flow.close()


atexit.register(_close_all)
