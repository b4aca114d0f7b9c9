"""Inputs: what a map goes through, read no further ahead than it may be.

A collection is read where it is asked for. Anything else may make its reader wait, as the lines of a terminal do, so it
is read in a thread of its own; what is async, in a task of the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import itertools
import threading
from collections import deque
from collections.abc import AsyncIterable, Callable, Collection, Iterable, Iterator
from typing import Any

from tempotask.errors import InvalidOptions
from tempotask.names import short

Wake = Callable[[], object]
"""Called, from any thread, when there is something new."""


class Inputs:
    """Inputs at hand: reading one takes no time."""

    def __init__(self, inputs: Iterable[Any]) -> None:
        self._inputs = iter(inputs)
        self.ended = False
        """Whether no more will come."""

    def some(self, most: int) -> Iterator[Any]:
        """Those that are there, at most so many, each taken when it is yielded. Raises what reading raises."""
        number = 0
        for one in itertools.islice(self._inputs, most):
            number += 1
            yield one
        self.ended = number < most

    def allow(self, number: int) -> None:
        """So many may be read in all from now on."""

    def close(self) -> None:
        """Nothing more is read."""
        self._inputs = iter(())


class ReadInputs(Inputs):
    """Inputs that come when they come: a thread reads them."""

    def __init__(self, inputs: Iterable[Any], wake: Wake) -> None:
        super().__init__(())
        self._wake = wake
        self._there: deque[Any] = deque()
        self._number = self._allowed = 0
        self._at_end = self._closed = self._at_it = False
        self._error: BaseException | None = None
        self._more = threading.Event()
        self._thread: threading.Thread | None = None
        self._source: Iterable[Any] | None = inputs

    def some(self, most: int) -> Iterator[Any]:
        """Those that have been read, at most so many."""
        at_end = self._at_end
        if self._error is not None:
            raise self._error
        for _ in range(most):
            if not self._there:
                # Looked at before: what was read last is there when the end is.
                self.ended = at_end
                return
            yield self._there.popleft()

    def allow(self, number: int) -> None:
        """So many may be read in all from now on. The first time, reading begins."""
        self._allowed = number
        self._more.set()
        if self._thread is None and not self._closed:
            self._begin()

    def close(self) -> None:
        """Nothing more is read. A thread that waits for an input ends when that comes, or with the program."""
        self._closed = True
        self._more.set()
        self._there.clear()
        # The collector may let go of a map in this very thread.
        if self._thread is not None and not self._at_it and self._thread is not threading.current_thread():
            self._thread.join()

    def _begin(self) -> None:
        # As the caller's own: what it has set for a while, as decimal does, holds for its generators too.
        read = contextvars.copy_context().run
        # Ctrl-C may come while it starts, and the program must not wait for one that waits for a terminal.
        thread = threading.Thread(target=read, args=(self._read,), name="tempotask inputs", daemon=True)
        thread.start()
        self._thread = thread

    def _read(self) -> None:
        source, self._source = self._source or (), None
        try:
            # In this order, as `close` sets the one and then looks at the other.
            self._at_it = True
            if self._closed:
                return
            for one in source:
                self._at_it = False
                self._put(one)
                while self._number >= self._allowed and not self._closed:
                    self._more.clear()
                    if self._number >= self._allowed and not self._closed:
                        self._more.wait()
                self._at_it = True
                if self._closed:
                    return
        except BaseException as error:  # whoever maps must hear of it
            self._error = error
        finally:
            self._at_it = False
            self._at_end = True
            self._wake()

    def _put(self, one: Any) -> None:
        self._there.append(one)
        self._number += 1
        self._wake()


class AwaitedInputs(ReadInputs):
    """Inputs that are awaited: a task of the event loop reads them."""

    def __init__(self, inputs: AsyncIterable[Any], wake: Wake) -> None:
        super().__init__((), wake)
        self._awaited = inputs
        self._loop: asyncio.AbstractEventLoop | None = None
        self._room = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def attach(self) -> None:
        """They are read in the event loop that runs here."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()

    def allow(self, number: int) -> None:
        """So many may be read in all from now on."""
        self._allowed = number
        self._call_soon()

    def close(self) -> None:
        """Nothing more is read; what is awaited right now is cancelled."""
        self._closed = True
        self._there.clear()
        self._call_soon()

    def _call_soon(self) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # a loop that is closed reads nothing more
                self._loop.call_soon_threadsafe(self._go_on)

    def _go_on(self) -> None:
        self._room.set()
        if self._task is None and not self._closed:
            self._task = asyncio.get_running_loop().create_task(self._await())
        elif self._task is not None and self._closed:
            self._task.cancel()

    async def _await(self) -> None:
        try:
            async for one in self._awaited:
                self._put(one)
                while self._number >= self._allowed:
                    self._room.clear()
                    await self._room.wait()
        except asyncio.CancelledError as error:
            # Not by us: it came out of the inputs, or somebody cancels all tasks that there are.
            if not self._closed:
                self._error = error
            raise
        except BaseException as error:  # whoever maps must hear of it
            self._error = error
        finally:
            self._at_end = True
            self._wake()


def inputs_of(given: object, wake: Wake) -> Inputs:
    """The inputs, read as it suits them.

    Raises:
        InvalidOptions: nothing that can be gone through.
    """
    if isinstance(given, AsyncIterable):
        return AwaitedInputs(given, wake)
    if not isinstance(given, Iterable):
        return ReadInputs(_by_number(given), wake)
    return Inputs(given) if isinstance(given, Collection) else ReadInputs(given, wake)


def _by_number(given: Any) -> Iterator[Any]:
    """What can be gone through since it has a `__getitem__`."""
    try:
        return iter(given)
    except TypeError:
        raise InvalidOptions(
            f"map takes an iterable of inputs, and {short(given)} is none; give a list or a generator"
        ) from None
