"""Handlers that do what no handler should."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import Any, NoReturn

from chores import GATE, tell

from tempotask import Context, Job, QueueManager
from tempotask.pool.saying import Saying
from tempotask.pool.worker import Worker

tempotask = QueueManager.init(ctx=dict)

LISTEN = 8.0
"""Seconds, more than after which the log tells of a handler that waits."""


class Evil(str):
    """Text that can't be asked for its bytes."""

    def encode(self, *how: Any) -> bytes:
        raise RuntimeError("no")


class EvilError(Exception):
    def __str__(self) -> str:
        return Evil("evil")


@tempotask.task(queue="q")
def forks(job: Job[str], ctx: Context[Any]) -> list[Any]:
    """A child that leaves as `data` says; the parent tells how it ended, and who it is itself."""
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        if job.data == "exit":
            sys.exit(3)
        return ["child", os.getpid()]
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), parent]


@tempotask.task(queue="q")
def pid(job: Job[Any], ctx: Context[Any]) -> int:
    return os.getpid()


@tempotask.task(queue="q")
def lets_signals_in(job: Job[bool], ctx: Context[Any]) -> None:
    """All of them, as libraries do that want to start afresh; with `data` they get their default effect, too."""
    for number in signal.valid_signals() if job.data else ():
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


@tempotask.task(queue="q")
def talks(job: Job[Any], ctx: Context[Any]) -> str:
    """Says something, and goes on until the test opens the gate."""
    job.logger("hello")
    os.read(GATE, 1)
    return "done"


@tempotask.task(queue="q")
def signals_of_a_child(job: Job[Any], ctx: Context[Any]) -> str:
    """Those that a program which a handler starts has held back."""
    return subprocess.run(["grep", "SigBlk", "/proc/self/status"], capture_output=True, text=True).stdout.split()[1]


@tempotask.task(queue="q")
def evil(job: Job[Any], ctx: Context[Any]) -> None:
    raise EvilError


@tempotask.task(queue="q")
async def leaves_behind(job: Job[Any], ctx: Context[Any]) -> None:
    """A task in the loop that would end whatever runs when its time comes."""

    async def later() -> None:
        await asyncio.sleep(0.05)
        sys.exit(5)

    ctx.app["task"] = asyncio.create_task(later())


@tempotask.task(queue="q")
async def sleeps(job: Job[float], ctx: Context[Any]) -> str:
    await asyncio.sleep(job.data)
    return "slept"


@tempotask.task(queue="q")
async def stops_the_loop(job: Job[Any], ctx: Context[Any]) -> None:
    asyncio.get_running_loop().stop()
    await asyncio.sleep(600)


@tempotask.task(queue="q", timeout=0.001)
async def hurries(job: Job[Any], ctx: Context[Any]) -> None:
    await asyncio.sleep(60)


@tempotask.task(queue="q")
def deafens(job: Job[Any], ctx: Context[Any]) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGUSR2})


@tempotask.task(queue="q")
def kills_its_parent(job: Job[Any], ctx: Context[Any]) -> None:
    os.kill(os.getppid(), signal.SIGKILL)
    signal.pause()


@tempotask.task(queue="q")
def holds(job: Job[Any], ctx: Context[Any]) -> int:
    """Runs until the test opens the gate for one."""
    tell("holds", job.id)
    os.read(GATE, 1)
    return os.getpid()


@tempotask.task(queue="q")
def resets_signals(job: Job[bool], ctx: Context[Any]) -> None:
    """What the supervisor has to say to this process kills it from now on."""
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_DFL)
    if job.data:
        time.sleep(600)


@tempotask.task(queue="q", timeout=0.1, kill_after=0.1)
def leaves_its_group(job: Job[Any], ctx: Context[Any]) -> NoReturn:
    os.setpgid(0, os.getpgid(os.getppid()))
    while True:
        with contextlib.suppress(BaseException):
            time.sleep(600)


@tempotask.task(queue="q")
def closes_everything(job: Job[str], ctx: Context[Any]) -> str:
    """All that it has not opened itself; its own file, which only it may write to, gets every number."""
    os.closerange(3, 64)
    own = os.open(job.data, os.O_RDWR | os.O_CREAT)
    for fd in range(3, 64):
        if fd != own:
            os.dup2(own, fd)
    return "closed"


@tempotask.task(queue="q")
def dies_behind_its_end(job: Job[Any], ctx: Context[Any]) -> None:
    """Its process dies before anything of it is settled."""
    Worker._take_turn = lambda *_: os._exit(9)  # type: ignore[method-assign]


@tempotask.task(queue="q")
def connects_instead(job: Job[str], ctx: Context[Any]) -> None:
    """Its own connection, to whom only it may talk, gets the number of the worker's."""
    for fd in range(3, 64):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/self/fd/{fd}").startswith("socket:"):
                own = socket.socket(socket.AF_UNIX)
                own.connect(job.data)
                os.dup2(own.detach(), fd)


class Liar(Exception):
    """Answers no question."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)


@tempotask.task(queue="q")
def raises(job: Job[str], ctx: Context[Any]) -> NoReturn:
    if job.data == "liar":
        raise Liar
    kind = type("Odd", (Exception,), {})
    kind.__qualname__ = "N" * (1 << 20) if job.data == "long" else "\ud800\n"
    raise kind("odd")


@tempotask.task(queue="q")
def stops_its_parent(job: Job[Any], ctx: Context[Any]) -> None:
    os.kill(os.getppid(), signal.SIGSTOP)
    os._exit(3)


@tempotask.task(queue="q")
def writes_everywhere(job: Job[bytes], ctx: Context[Any]) -> str:
    for fd in range(3, 10):
        try:
            if os.readlink(f"/proc/self/fd/{fd}").startswith("socket:"):
                os.write(fd, job.data)
        except OSError:
            continue
    return "written"


@tempotask.task(queue="q")
def can_not_be_looked_at(job: Job[Any], ctx: Context[Any]) -> str:
    """Whoever looks what it says while it runs is not answered; at the fifth time it ends."""
    looked = threading.Semaphore(0)

    def look(saying: Saying) -> NoReturn:
        looked.release()
        raise RuntimeError("no look")

    Saying.look = look  # type: ignore[method-assign]
    for _ in range(5):
        looked.acquire()
    return "looked at"


@tempotask.task(queue="q")
def waits_for(job: Job[str], ctx: Context[Any]) -> Any:
    """For another job, itself, all, or a pool of its own."""
    match job.data:
        case "itself":
            return tempotask.handle(job.id).result()
        case "all":
            return asyncio.run(tempotask.join())
        case "a pool":
            return tempotask.run()
        case another:
            return tempotask.handle(another).result(LISTEN)


@tempotask.task(queue="q")
def closes_its_output(job: Job[Any], ctx: Context[Any]) -> None:
    sys.stdout.close()
    sys.stderr.close()


@tempotask.task(queue="q")
def prints(job: Job[str], ctx: Context[Any]) -> None:
    print(job.data)
