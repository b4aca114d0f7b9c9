"""An application whose jobs run inline, and its handlers."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import Any

from tempotask import Context, Job, QueueManager


class App:
    made = 0

    def __init__(self) -> None:
        App.made += 1
        self.seen: list[Any] = []


def register(tempotask: QueueManager[App], name: str, handler: Any, queue: str = "q", **options: Any) -> Any:
    return tempotask.register_job(name=name, queue=queue, handler=handler, options=options)


def note(job: Job[Any], ctx: Context[App]) -> Any:
    ctx.app.seen.append(job.data)
    return job.data


def logged(handler: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator as there are many: what it makes of an `async def` is a `def`."""

    @functools.wraps(handler)
    def wrapper(job: Job[Any], ctx: Context[App]) -> Any:
        return handler(job, ctx)

    return wrapper


async def anote(job: Job[Any], ctx: Context[App]) -> Any:
    await asyncio.sleep(0)
    ctx.app.seen.append(job.data)
    return job.data
