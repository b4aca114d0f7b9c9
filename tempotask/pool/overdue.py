"""Overdue: what an `async def` handler meets where it awaits when the time of its try is over.

asyncio ends a task by cancelling it, and whatever the handler awaits knows how to deal with that: groups cancel their
tasks, `wait_for` what it waits for. So it is a cancellation; and as in a `def`, it is a `JobTimeout`.
"""

from __future__ import annotations

import asyncio
import functools
import types
from collections.abc import Callable, Generator
from typing import Any

from tempotask.errors import JobTimeout

OVER = "the time of this try is over"


class Overdue(JobTimeout, asyncio.CancelledError):
    """Both."""


# As tracebacks and failures are to print it.
Overdue.__module__, Overdue.__qualname__ = JobTimeout.__module__, JobTimeout.__qualname__


@types.coroutine
def awaited(handler: Any, is_overdue: Callable[[], bool]) -> Generator[Any, Any, Any]:
    """Awaits what an `async def` handler is; a cancellation reaches it as `Overdue` if its time is over."""
    steps = handler.__await__()
    step: Callable[[], Any] = functools.partial(next, steps)
    while True:
        try:
            what = step()
        except StopIteration as end:
            return end.value
        try:
            yield what
        except BaseException as error:
            # As if it had been raised where the handler awaits: its way here is nobody's business.
            met = Overdue(message=OVER) if isinstance(error, asyncio.CancelledError) and is_overdue() else error
            step = functools.partial(steps.throw, met.with_traceback(None))
        else:
            step = functools.partial(next, steps)
