"""Loop: the event loop of a worker, in which its `async def` handlers run, one at a time.

It is kept from job to job. What a handler leaves behind in it ends with its job, as with `asyncio.run`.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import sys
import weakref
from collections.abc import AsyncGenerator, Callable
from types import CoroutineType
from typing import Any

from tempotask.errors import JobTimeout
from tempotask.job import Job
from tempotask.pool.batch import NONE, OVERDUE
from tempotask.pool.overdue import OVER, awaited

Begun = list[weakref.ref[AsyncGenerator[Any, Any]]]
"""The asynchronous generators that a handler has begun."""


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
            self._runner = None
        runner = self._runner = self._runner or asyncio.Runner()
        generators: Begun = []

        async def call() -> Any:
            self.task = asyncio.current_task()
            _note_begun(generators)
            if self._interrupt or job.cancelled:
                raise asyncio.CancelledError
            self.coroutine = begin()
            return await awaited(self.coroutine, lambda: self._interrupt == OVERDUE)

        try:
            # A context of its own for each job, as a task of any loop has: what one sets is not the next one's.
            return runner.run(call(), context=contextvars.copy_context())
        except asyncio.CancelledError:
            if self._interrupt == OVERDUE:
                raise JobTimeout(message=OVER) from None
            raise
        finally:
            self._clean(runner, generators)

    def _clean(self, runner: asyncio.Runner, generators: Begun) -> None:
        """Ends what the handler has left behind. Of how it ended itself that changes nothing."""
        ended = self.task is not None and self.task.done()
        self.task = self.coroutine = None
        loop = runner.get_loop()
        if ended and (generators or asyncio.all_tasks(loop)):
            try:
                runner.run(_end_the_rest(generators))
            except BaseException:
                ended = False
        if not ended:
            # The loop was stopped: what is left in there must not meet the next job's.
            self._runner = None
            with contextlib.suppress(Exception):
                loop.close()


def _note_begun(generators: Begun) -> None:
    """Adds the asynchronous generators that are begun in the running loop from now on, until it stops."""
    loops_own = sys.get_asyncgen_hooks().firstiter

    def note(generator: AsyncGenerator[Any, Any]) -> None:
        generators.append(weakref.ref(generator))
        if loops_own is not None:
            loops_own(generator)

    sys.set_asyncgen_hooks(firstiter=note)


async def _end_the_rest(generators: Begun) -> None:
    """Ends the other tasks, and closes generators that were left half-way."""
    await _end_tasks()
    alive = [generator for begun in generators if (generator := begun()) is not None]
    await asyncio.gather(*(generator.aclose() for generator in alive), return_exceptions=True)
    # What they have begun as they ended.
    await asyncio.sleep(0)
    await _end_tasks()


async def _end_tasks() -> None:
    """Cancels all tasks but this one, and waits for their ends. Those in which the loop closes generators that nobody
    holds any more are no coroutines, and let to their end."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        if isinstance(task.get_coro(), CoroutineType):
            task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
