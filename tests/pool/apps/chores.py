"""What the tests have workers do. They tell the test what happens through a pipe, and wait for it at a gate."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import time
from typing import Any

import msgspec

from tempotask import Context, Job, JobTimeout, QueueManager

TOLD = os.open(os.environ["TEST_TOLD"], os.O_RDWR)
GATE = os.open(os.environ["TEST_GATE"], os.O_RDWR)
LEDGER = os.open(os.environ["TEST_LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def tell(*words: object) -> None:
    os.write(TOLD, " ".join(map(str, words)).encode() + b"\n")


class App:
    def __init__(self) -> None:
        self.made_in = os.getpid()


class Thing(msgspec.Struct):
    size: int
    name: str = ""


tempotask = QueueManager.init(ctx=App)


@tempotask.task(queue="q")
def echo(job: Job[Any], ctx: Context[App]) -> Any:
    return job.data


@tempotask.task(queue="q")
def large(job: Job[int], ctx: Context[App]) -> str:
    return "x" * job.data


@tempotask.task(queue="q")
def bulky(job: Job[int], ctx: Context[App]) -> str:
    """A large result, once the test opens the gate."""
    tell("holds", job.id)
    os.read(GATE, 1)
    return "x" * job.data


@tempotask.task(queue="q")
async def strays(job: Job[None], ctx: Context[App]) -> None:
    """Leaves a thread of its loop behind, which waits for the gate."""
    asyncio.get_running_loop().run_in_executor(None, os.read, GATE, 1)


@tempotask.task(queue="q")
def shouts(job: Job[int], ctx: Context[App]) -> int:
    for _ in range(job.data):
        job.logger("x" * 10_000)
    return 1


@tempotask.task(queue="q")
def say(job: Job[str], ctx: Context[App]) -> int:
    tell("said", job.data)
    return os.getpid()


@tempotask.task(queue="q")
def nap(job: Job[float], ctx: Context[App]) -> int:
    time.sleep(job.data)
    return os.getpid()


@tempotask.task(queue="q")
def hold(job: Job[Any], ctx: Context[App]) -> int:
    """Runs until the test opens the gate for one."""
    tell("holds", job.id, os.getpid())
    os.read(GATE, 1)
    return job.attempt


@tempotask.task(queue="q")
def far(job: Job[Any], ctx: Context[App]) -> int:
    """`hold`, for a job that says how far it is."""
    job.progress(7, 10)
    return hold(job, ctx)


@tempotask.task(queue="q")
def enter(job: Job[float], ctx: Context[App]) -> int:
    """Works for so many seconds, and writes down when it starts and when it has finished."""
    os.write(LEDGER, f"{job.id} start {job.token} {os.getpid()}\n".encode())
    end = time.monotonic() + job.data
    while time.monotonic() < end:
        pass
    os.write(LEDGER, f"{job.id} end {job.token} {os.getpid()}\n".encode())
    return job.token


@tempotask.task(queue="q")
def flaky(job: Job[int], ctx: Context[App]) -> int:
    """Fails so many times."""
    tell("tries", job.attempt, time.monotonic())
    if job.attempt <= job.data:
        raise ValueError(f"attempt {job.attempt}")
    return job.attempt


def leave(how: str) -> None:
    if how == "sys.exit":
        sys.exit(3)
    if how == "interrupt":
        raise KeyboardInterrupt
    if how == "recursion":
        leave(how)
    if how == "os._exit":
        os._exit(4)


@tempotask.task(queue="q")
def end(job: Job[str], ctx: Context[App]) -> None:
    leave(job.data)


@tempotask.task(queue="q")
async def aend(job: Job[str], ctx: Context[App]) -> None:
    await asyncio.sleep(0)
    leave(job.data)


@tempotask.task(queue="q")
async def anap(job: Job[float], ctx: Context[App]) -> str:
    try:
        await asyncio.sleep(job.data)
    except asyncio.CancelledError:
        tell("cancelled", job.id)
        raise
    return "slept"


@tempotask.task(queue="q")
def overrun(job: Job[str], ctx: Context[App]) -> str:
    """Takes longer than anybody lives, in several ways."""
    tell("runs", job.id, os.getpid())
    match job.data:
        case "sleep":
            try:
                time.sleep(600)
            except JobTimeout:
                tell("cleaned")
                raise
        case "loop":
            while True:
                pass
        case "read":
            os.read(GATE, 1)
        case "stubborn":
            while True:
                try:
                    time.sleep(600)
                except BaseException:
                    tell("ignored")
        case "C":
            sum(range(10**14))
        case "child":
            child = subprocess.Popen(["sleep", "600"], start_new_session=True)
            tell("child", child.pid)
            time.sleep(600)
    return "never"


@tempotask.task(queue="q")
def regex(job: Job[Any], ctx: Context[App]) -> None:
    """Holds the interpreter, in C, for longer than anybody lives."""
    tell("holds", job.id, os.getpid())
    re.match(r"(a+)+$", "a" * 40 + "b")


@tempotask.task(queue="q")
def count(job: Job[int], ctx: Context[App]) -> int:
    """Holds the interpreter, in C, for a second or so."""
    tell("counts", job.id)
    return sum(range(job.data))


@tempotask.task(queue="q")
def fit(job: Job[list[Thing]], ctx: Context[App]) -> int:
    return len(job.data)


@tempotask.task(queue="q")
def misfit(job: Job[Any], ctx: Context[App]) -> object:
    return [1, {"a": object()}]


@tempotask.task(queue="q")
def who(job: Job[Any], ctx: Context[App]) -> list[int]:
    time.sleep(0.01)
    return [os.getpid(), ctx.app.made_in]
