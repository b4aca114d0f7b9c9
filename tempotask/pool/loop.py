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
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tempotask.errors import JobTimeout
from tempotask.job import Job
from tempotask.pool.control_block import NONE, OVERDUE
from tempotask.pool.overdue import OVER, awaited

CLOSES = "async_generator_athrow"
"""The type of what closes an asynchronous generator."""
CLEANINGS = 3
"""So often is tried to end what a handler has left behind."""


class _Threads(ThreadPoolExecutor):
    """Those of a loop, as `asyncio.to_thread` uses them. A worker that ends does not wait for what a handler has left
    in them, one whose time was over say."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """As always, but waits for nothing."""
        super().shutdown(wait=False, cancel_futures=True)


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
        self._main: asyncio.Task[Any] | None = None
        """What the loop runs for."""
        self._stopped = False
        """Whether somebody else has stopped it."""
        self._begun = False
        """Whether the handler has begun an asynchronous generator."""
        self._generators: weakref.WeakSet[AsyncGenerator[Any, Any]] = weakref.WeakSet()
        """Those that are there still."""

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
        runner = self._runner = self._runner or self._made()
        # One of its own for each job, as a task of any loop has: what one sets is not the next one's.
        context = contextvars.copy_context()
        self._stopped, self._begun, self._generators = False, False, weakref.WeakSet()

        async def call() -> tuple[Any, Exception | None]:
            self.task = self._main = asyncio.current_task()
            self._note_begun()
            if self._interrupt or job.cancelled:
                raise asyncio.CancelledError
            self.coroutine = begin()
            try:
                return await awaited(self.coroutine, lambda: self._interrupt == OVERDUE), None
            except asyncio.CancelledError:
                raise
            except Exception as error:
                # The task is not to hold it: asyncio asks what handles signals, and Python makes a text of that for it,
                # of its task, and of the exception, whose `repr` may fail.
                return None, error

        try:
            value, error = runner.run(call(), context=context)
            if error is None:
                return value
            try:
                raise error
            finally:
                del error
        except asyncio.CancelledError:
            if self._interrupt == OVERDUE:
                raise JobTimeout(message=OVER) from None
            raise
        except BaseExceptionGroup as group:
            # A `TaskGroup` takes what ends its body for an error of its own, before Python 3.13.
            if self._interrupt == OVERDUE and group.split(asyncio.CancelledError)[1] is None:
                raise JobTimeout(message=OVER) from group
            raise
        finally:
            self._clean(runner, context)

    def _made(self) -> asyncio.Runner:
        runner = asyncio.Runner()
        loop = runner.get_loop()
        loop.set_default_executor(_Threads(thread_name_prefix="asyncio"))
        stop = loop.stop

        def stop_and_note() -> None:
            # It is called also by `run`, when that is done.
            self._stopped = self._stopped or self._main is None or not self._main.done()
            stop()

        loop.stop = stop_and_note  # type: ignore[method-assign]
        return runner

    def _note_begun(self) -> None:
        """Notes the asynchronous generators that are begun in the running loop from now on, until it stops."""
        loops_own = sys.get_asyncgen_hooks().firstiter

        def note(generator: AsyncGenerator[Any, Any]) -> None:
            self._begun = True
            self._generators.add(generator)
            if loops_own is not None:
                loops_own(generator)

        sys.set_asyncgen_hooks(firstiter=note)

    def _clean(self, runner: asyncio.Runner, context: contextvars.Context) -> None:
        """Ends what the handler has left behind. Of how it ended itself that changes nothing."""
        loop, whole = runner.get_loop(), self.task is not None and self.task.done() and not self._stopped
        self.task = self.coroutine = None
        if self._begun or not whole or asyncio.all_tasks(loop):
            for _ in range(CLEANINGS):
                try:
                    runner.run(self._end_the_rest(), context=context)
                    break
                except BaseException:
                    # What one of them raises must not keep the others from their ends.
                    whole = False
        if not whole or self._stopped:
            # What may be left in there must not meet the next job's.
            self._runner = None
            with contextlib.suppress(Exception):
                loop.close()

    async def _end_the_rest(self) -> None:
        """Ends the other tasks, and closes generators that were left half-way."""
        self._main = asyncio.current_task()
        await _end_tasks()
        for generator in list(self._generators):
            with contextlib.suppress(Exception, asyncio.CancelledError):
                await generator.aclose()
        # What they have begun as they ended.
        await asyncio.sleep(0)
        await _end_tasks()


async def _end_tasks() -> None:
    """Cancels all tasks but this one, and waits for their ends. Those in which the loop closes generators that nobody
    holds any more are let to theirs."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        if type(task.get_coro()).__name__ != CLOSES:
            task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
