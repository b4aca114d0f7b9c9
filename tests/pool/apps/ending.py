"""Jobs that are cancelled while they run, or wear their worker out. `TEST_OPTIONS` (JSON) holds the options."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import time
from typing import Any

from chores import GATE, LEDGER, tell

from tempotask import Context, Job, QueueManager

tempotask = QueueManager.init(options=json.loads(os.environ.get("TEST_OPTIONS", "{}")))
HOARD: list[bytes] = []


def note(job: Job[Any], *words: object) -> None:
    os.write(LEDGER, (" ".join([job.id, *map(str, words)]) + "\n").encode())


@tempotask.task(queue="q")
def who(job: Job[Any], ctx: Context[None]) -> int:
    return os.getpid()


@tempotask.task(queue="q")
def echo(job: Job[Any], ctx: Context[None]) -> Any:
    return job.data


@tempotask.task(queue="q")
def hold(job: Job[Any], ctx: Context[None]) -> int:
    tell("holds", job.id, os.getpid())
    os.read(GATE, 1)
    return job.attempt


@tempotask.task(queue="q")
def enter(job: Job[float], ctx: Context[None]) -> None:
    """Works for so many seconds; writes down when it starts, when it has finished, and whether it was told to end."""
    note(job, "start", os.getpid())
    end = time.monotonic() + job.data
    while time.monotonic() < end:
        pass
    note(job, "told" if job.cancelled else "end", os.getpid())


@tempotask.task(queue="q", cancel_grace=30)
def heed(job: Job[Any], ctx: Context[None]) -> None:
    """Ends when it sees that it is cancelled."""
    tell("runs", job.id, os.getpid())
    while not job.cancelled:
        pass
    tell("cleaned", job.id)


@tempotask.task(queue="q", timeout=0.02, kill_after=30)
def exceed(job: Job[Any], ctx: Context[None]) -> None:
    """Ends just after its time is over."""
    while True:
        pass


@tempotask.task(queue="p", max_crashes=1)
def bear(job: Job[Any], ctx: Context[None]) -> int:
    """Starts a process and waits for its end."""
    note(job, "start")
    subprocess.run(["sleep", "0.05"], check=True)
    return os.getpid()


@tempotask.task(queue="q", cancel_grace=30)
async def linger(job: Job[Any], ctx: Context[None]) -> None:
    tell("runs", job.id, os.getpid())
    try:
        await asyncio.sleep(600)
    finally:
        tell("cleaned", job.id)


@tempotask.task(queue="q", cancel_grace=0)
def stay(job: Job[str], ctx: Context[None]) -> None:
    """Never ends, in several ways."""
    child = subprocess.Popen(["sleep", "600"], start_new_session=True) if job.data.startswith("child") else None
    tell("runs", job.id, os.getpid(), *([child.pid] if child else []))
    if job.data == "C":
        sum(range(10**14))
    while not (job.data == "child that is left" and job.cancelled):
        pass


@tempotask.task(queue="q")
def hoard(job: Job[int], ctx: Context[None]) -> int:
    """Keeps so many more MiB, which one call in C takes."""
    tell("hoards", job.id, os.getpid())
    HOARD.append(b"x" * (job.data << 20))
    return os.getpid()


@tempotask.task(queue="q", max_crashes=1)
def follow(job: Job[None], ctx: Context[None]) -> int:
    """Waits to be killed where something is hoarded."""
    tell("follows", job.id, os.getpid())
    while HOARD:
        time.sleep(0.1)
    return os.getpid()


@tempotask.task(queue="q")
def gorge(job: Job[int], ctx: Context[None]) -> None:
    """Takes so many MiB in one call in C, and stays."""
    tell("gorges", job.id, os.getpid())
    HOARD.append(b"x" * (job.data << 20))
    time.sleep(600)


@tempotask.task(queue="q")
def when(job: Job[float], ctx: Context[None]) -> tuple[float, int]:
    """Works for so many seconds; when it started, by the clock of the machine, and where."""
    started = time.monotonic()
    while time.monotonic() < started + job.data:
        pass
    return started, os.getpid()
