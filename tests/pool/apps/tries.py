"""Tasks that say which errors are tried again, and handlers that ask for another try."""

from __future__ import annotations

import os
import time
from typing import Any

from chores import App, tell

from tempotask import Context, Job, QueueManager, Retry

tempotask = QueueManager.init(ctx=App)
ERRORS = {error.__name__: error for error in (ConnectionResetError, FileNotFoundError, ValueError, KeyError)}


def fail(job: Job[str], ctx: Context[App]) -> None:
    tell("tries", job.attempt)
    raise ERRORS[job.data](job.data)


tempotask.register_job(name="patient", queue="q", handler=fail, options={"attempts": 3, "retry_on": OSError})
tempotask.register_job(
    name="picky", queue="q", handler=fail,
    options={"attempts": 3, "retry_on": (OSError, KeyError), "fail_on": [FileNotFoundError]},
)  # fmt: skip


def overrun(job: Job[str], ctx: Context[App]) -> None:
    tell("runs", job.attempt)
    if job.data == "C":
        sum(range(10**14))
    time.sleep(600)


LIMITS = {"attempts": 2, "timeout": 0.2, "kill_after": 0.1}
tempotask.register_job(name="once", queue="q", handler=overrun, options={**LIMITS, "retry_on": OSError})
tempotask.register_job(name="twice", queue="q", handler=overrun, options={**LIMITS, "fail_on": OSError})


class JobTimeout(Exception):
    """Called as one of TempoTask's own."""


@tempotask.task(queue="q", timeout=0.5, kill_after=30)
def adds(job: Job[str], ctx: Context[App]) -> None:
    """Adds a job again and again that waits already, or many at once, for longer than it may."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if job.data == "one":
            ctx.enqueue(name="waits", queue="paused", options={"id": "waits"})
        else:
            tempotask.enqueue_many({"name": "waits", "queue": "paused", "options": {"priority": n}} for n in range(900))


@tempotask.task(queue="q")
def passes_on(job: Job[str], ctx: Context[App]) -> Any:
    """Waits for a job that fails so, or raises what is called so."""
    if job.data == "name":
        raise JobTimeout
    options = {"timeout": 0.1, "max_crashes": 1}
    return ctx.enqueue(name="ends", queue="q", data=job.data, options=options).result(timeout=60)


@tempotask.task(queue="q")
def ends(job: Job[str], ctx: Context[App]) -> None:
    if job.data == "crash":
        os._exit(1)
    time.sleep(600)


def ask(job: Job[list[Any]], ctx: Context[App]) -> int:
    """Asks for another try until so many have been, after so many seconds each."""
    tell("tries", job.attempt, time.monotonic())
    until, after = job.data
    if job.attempt < until:
        raise Retry(after=after, reason=f"not yet {job.attempt}")
    return job.attempt


tempotask.register_job(name="ask", queue="q", handler=ask)
tempotask.register_job(name="ask_thrice", queue="q", handler=ask, options={"attempts": 3, "retry_delay": 0.3})


@tempotask.task(queue="q", retry_on=())
async def then_fail(job: Job[Any], ctx: Context[App]) -> None:
    """Asks for another try, which fails."""
    if job.attempt == 1:
        raise Retry(after=0)
    raise ValueError("now it fails")
