"""Loop: the event loop of a worker, in which its `async def` handlers run, one at a time.

It is kept from job to job. What a handler leaves behind in it ends with its job, as with `asyncio.run`.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import sys
import weakref
from collections.abc import AsyncGenerator, Callable, Iterable
from types import CoroutineType
from typing import Any

from tempotask.errors import JobTimeout
from tempotask.job import Job
from tempotask.pool.batch import NONE, OVERDUE
from tempotask.pool.overdue import OVER, awaited

Generators = Iterable[AsyncGenerator[Any, Any]]


class Loop:
    """Makes the loop when it is needed, and another one when a handler has spoilt it."""

    def __init__(self) -> None:
        self.runs = False
        """Whether a handler runs in it."""
        self.task: asyncio.Task[Any] | None = None
        """In which that handler runs."""
        self.coroutine: Any = None
        """What that handler is, as it runs."""
        self._interrupt = NONE
        self._runner: asyncio.Runner | None = None

    def run(self, begin: Callable[[], Any], job: Job[Any]) -> Any:
        """What the coroutine that `begin` makes comes to. Raises what it raises, and `JobTimeout` where the job's time
        was over."""
        self._interrupt, self.runs = NONE, True
        try:
            return self._run(begin, job)
        finally:
            self.runs = False

    def interrupt(self, kind: int) -> None:
        """Cancels the handler where it awaits: OVERDUE, its time is over, or CANCEL. In a signal handler."""
        self._interrupt = kind
        if self.task is not None:
            self.task.get_loop().call_soon_threadsafe(self.task.cancel)

    def close(self) -> None:
        """Ends it."""
        if self._runner is not None:
            # A handler may have closed it, or the descriptors that it needs.
            with contextlib.suppress(OSError, RuntimeError):
                self._runner.close()

    def _run(self, begin: Callable[[], Any], job: Job[Any]) -> Any:
        if self._runner is not None and self._runner.get_loop().is_closed():
            # A `def` handler has taken it for its own.
            self._drop()
        if self._runner is None:
            self._runner = asyncio.Runner()

        async def call() -> Any:
            self.task = me = asyncio.current_task()
            generators = _begun_from_now_on()
            try:
                if self._interrupt or job.cancelled:
                    raise asyncio.CancelledError
                self.coroutine = begin()
                return await awaited(self.coroutine, lambda: self._interrupt == OVERDUE)
            finally:
                if self.task is me:  # and it is not thrown away with its loop
                    self.task = self.coroutine = None
                    await _end_all_but(me, generators)

        try:
            # A context of its own for each job, as a task of any loop has: what one sets is not the next one's.
            return self._runner.run(call(), context=contextvars.copy_context())
        except asyncio.CancelledError:
            if self._interrupt == OVERDUE:
                raise JobTimeout(message=OVER) from None
            raise
        finally:
            if self.task is not None:
                # The handler has stopped the loop: what it left in there must not meet the next job's.
                self._drop()

    def _drop(self) -> None:
        runner, self._runner, self.task, self.coroutine = self._runner, None, None, None
        if runner is not None:
            with contextlib.suppress(Exception):
                runner.get_loop().close()


def _begun_from_now_on() -> Generators:
    """The asynchronous generators that are begun in the running loop from now on, until it stops."""
    begun: weakref.WeakSet[AsyncGenerator[Any, Any]] = weakref.WeakSet()
    loops_own = sys.get_asyncgen_hooks().firstiter

    def note(generator: AsyncGenerator[Any, Any]) -> None:
        begun.add(generator)
        if loops_own is not None:
            loops_own(generator)

    sys.set_asyncgen_hooks(firstiter=note)
    return begun


async def _end_all_but(me: asyncio.Task[Any] | None, generators: Generators) -> None:
    """Cancels the other tasks, and closes generators that were left half-way."""
    tasks = asyncio.all_tasks() - {me}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for generator in list(generators):
        with contextlib.suppress(Exception):
            await generator.aclose()
    # Those that nobody holds any more are about to be closed by the loop, in tasks, which are let to their end. What
    # others began as they were cancelled is not: it may have none.
    await asyncio.sleep(0)
    tasks = asyncio.all_tasks() - {me}
    for task in tasks:
        if isinstance(task.get_coro(), CoroutineType):
            task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
