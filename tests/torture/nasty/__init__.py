"""Handlers that do what no handler should. Each is a task of the queue `nasty`, under its function's name.

They write to the ledger as the chores do. What they do to their process stays, but what would stop the ledger's pen or
whoever runs the torture: a limit on memory, standard output.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from tempotask import Context, Job, QueueManager
from torture.chore import KEEP, MAX_CRASHES, write, written

# Each of them declares its handlers.
from torture.nasty import ends, files, interpreter, loops, processes, signals, values  # noqa: F401
from torture.nasty.handler import HANDLERS, Handler

QUEUE = "nasty"


def register(manager: QueueManager[Any]) -> None:
    """Declares them all."""
    options = {"keep_result": KEEP, "max_crashes": MAX_CRASHES}
    for name, handler in HANDLERS.items():
        told = _atold(handler) if inspect.iscoroutinefunction(handler) else _told(handler)
        manager.register_job(name=name, queue=QUEUE, handler=told, options=options)


def _told(handler: Handler) -> Callable[[Job[Any], Context[None]], Any]:
    """Writes down the start and the end of a handler."""

    @functools.wraps(handler)
    def run(job: Job[Any], ctx: Context[None]) -> Any:
        with written(job):
            value = handler(job)
            write("end", job)
            return value

    return _annotated(run)


def _atold(handler: Handler) -> Callable[[Job[Any], Context[None]], Any]:
    @functools.wraps(handler)
    async def run(job: Job[Any], ctx: Context[None]) -> Any:
        with written(job):
            value = await handler(job)
            write("end", job)
            return value

    return _annotated(run)


def _annotated(run: Callable[..., Any]) -> Callable[..., Any]:
    """With the parameters that it really has."""
    del run.__wrapped__  # type: ignore[attr-defined]
    run.__annotations__ = {"job": Job[Any], "ctx": Context[None]}
    return run
