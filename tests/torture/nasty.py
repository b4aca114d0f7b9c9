"""Handlers that do what no handler should. Each is a task of the queue `nasty`, under its function's name.

They write to the ledger as the chores do. What they do to their process stays, but what would stop the ledger's pen or
whoever runs the torture: a limit on memory, standard output.
"""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import ctypes
import functools
import inspect
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any, NoReturn

from setproctitle import setproctitle

from tempotask import Context, Job, QueueManager

QUEUE = "nasty"
LONG = 3600.0
"""Seconds that no job runs."""

Handler = Callable[[Job[Any]], Any]
HANDLERS: dict[str, Handler] = {}


def nasty(handler: Handler) -> Handler:
    """Makes it a task of the application under torture."""
    HANDLERS[handler.__name__] = handler
    return handler


def stay() -> NoReturn:
    """In a child: it has its parent's title, and is no worker."""
    setproctitle("a child of a handler")
    sleep_for_ever()


def register(manager: QueueManager[Any]) -> None:
    """Declares them all."""
    # Not before: these are being imported, and import this.
    from torture.chores import KEEP, MAX_CRASHES

    options = {"keep_result": KEEP, "max_crashes": MAX_CRASHES}
    for name, handler in HANDLERS.items():
        told = _atold(handler) if inspect.iscoroutinefunction(handler) else _told(handler)
        manager.register_job(name=name, queue=QUEUE, handler=told, options=options)


def _told(handler: Handler) -> Callable[[Job[Any], Context[None]], Any]:
    """Writes down the start and the end of a handler."""
    from torture.chores import write

    @functools.wraps(handler)
    def run(job: Job[Any], ctx: Context[None]) -> Any:
        write("start", job)
        try:
            value = handler(job)
        except BaseException:
            write("raise", job)
            raise
        write("end", job)
        return value

    return _annotated(run)


def _atold(handler: Handler) -> Callable[[Job[Any], Context[None]], Any]:
    from torture.chores import write

    @functools.wraps(handler)
    async def run(job: Job[Any], ctx: Context[None]) -> Any:
        write("start", job)
        try:
            value = await handler(job)
        except BaseException:
            write("raise", job)
            raise
        write("end", job)
        return value

    return _annotated(run)


def _annotated(run: Callable[..., Any]) -> Callable[..., Any]:
    """With the parameters that it really has."""
    del run.__wrapped__  # type: ignore[attr-defined]
    run.__annotations__ = {"job": Job[Any], "ctx": Context[None]}
    return run


def sleep_for_ever() -> NoReturn:
    while True:
        time.sleep(LONG)


# -- ends of the process


@nasty
def exits(job: Job[Any]) -> None:
    os._exit(job.data or 0)


@nasty
def segfaults(job: Job[Any]) -> None:
    ctypes.string_at(0)


@nasty
def aborts(job: Job[Any]) -> None:
    os.abort()


@nasty
def overflows_the_stack(job: Job[Any]) -> None:
    """Recursion in C that no limit of Python's ends."""
    libc = ctypes.CDLL(None)
    compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
    sys.setrecursionlimit(1 << 30)

    def deeper(a: int, b: int) -> int:
        pair = (ctypes.c_int * 2)(2, 1)
        libc.qsort(pair, 2, ctypes.sizeof(ctypes.c_int), compare(deeper))
        return 0

    deeper(0, 0)


@nasty
def signals_itself(job: Job[int]) -> str:
    os.kill(os.getpid(), job.data)
    return "still here"


@nasty
def kills_its_group(job: Job[Any]) -> None:
    os.killpg(0, signal.SIGKILL)
    sleep_for_ever()


@nasty
def becomes_another_program(job: Job[Any]) -> None:
    os.execv("/bin/true", ["true"])


@nasty
def eats_memory_in_a_group(job: Job[str]) -> None:
    """In a control group, whose folder is told: the kernel kills what takes more than that allows."""
    with open(f"{job.data}/cgroup.procs", "w") as file:
        file.write(str(os.getpid()))
    _eat()


@nasty
def eats_memory_under_a_limit(job: Job[Any]) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as file:
        size = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + (64 << 20), hard))
    try:
        _eat()
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@nasty
def grows(job: Job[int]) -> int:
    """Keeps so many bytes."""
    HELD.append(bytearray(job.data))
    HELD[-1][:: resource.getpagesize()] = b"x" * len(HELD[-1][:: resource.getpagesize()])
    time.sleep(LONG)
    return len(HELD)


HELD: list[bytearray] = []


def _eat() -> NoReturn:
    held = []
    while True:
        held.append(b"x" * (1 << 22))


# -- ends of the handler


@nasty
def leaves(job: Job[Any]) -> None:
    sys.exit(job.data)


@nasty
def interrupts_itself(job: Job[Any]) -> None:
    raise KeyboardInterrupt


@nasty
def ends_as_a_generator_does(job: Job[Any]) -> None:
    raise GeneratorExit


@nasty
def recurses(job: Job[Any]) -> None:
    recurses(job)


# -- processes and threads


@nasty
def forks_and_returns(job: Job[Any]) -> int:
    """Parent and child both come back from here."""
    os.fork()
    return os.getpid()


@nasty
def forks_a_child_that_stays(job: Job[Any]) -> int:
    if (child := os.fork()) == 0:
        stay()
    return child


@nasty
def forks_and_raises(job: Job[Any]) -> int:
    if (child := os.fork()) == 0:
        raise ValueError("a child's own")
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@nasty
def daemonises(job: Job[Any]) -> int:
    """Two forks and a session of its own, as of old; tells the daemon's pid."""
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        os.write(write, str(os.getpid()).encode())
        stay()
    os.waitpid(child, 0)
    return int(os.read(read, 20))


@nasty
def starts_a_program_that_stays(job: Job[Any]) -> int:
    return subprocess.Popen(["sleep", str(LONG)], start_new_session=True).pid


@nasty
def starts_threads_that_stay(job: Job[Any]) -> int:
    for _ in range(5):
        threading.Thread(target=sleep_for_ever).start()
    return threading.active_count()


@nasty
def leaves_its_group(job: Job[Any]) -> None:
    """Goes where its nursery is, so that whoever ends its group does not hit it."""
    os.setpgid(0, os.getpgid(os.getppid()))
    ignores_its_end(job)


@nasty
def leaves_its_session(job: Job[Any]) -> str:
    try:
        os.setsid()
    except PermissionError:
        return "refused"
    return "left"


@nasty
def outlives_its_parent(job: Job[Any]) -> int:
    """PR_SET_PDEATHSIG 0, PR_SET_CHILD_SUBREAPER 0, PR_SET_DUMPABLE 0."""
    libc = ctypes.CDLL(None)
    return sum(libc.prctl(option, 0, 0, 0, 0) for option in (1, 36, 4))


@nasty
def signals_its_parent(job: Job[int]) -> str:
    os.kill(os.getppid(), job.data)
    return "sent"


# -- signals


@nasty
def blocks_signals(job: Job[bool]) -> str:
    """Blocks all that can be, and stays if asked to."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    if job.data:
        sleep_for_ever()
    return "deaf"


@nasty
def resets_signals(job: Job[bool]) -> str:
    """From now on what the supervisor sends to it ends it."""
    for number in range(1, signal.NSIG):
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_DFL)
    if job.data:
        sleep_for_ever()
    return "reset"


@nasty
def kills_itself_when_it_has_ended(job: Job[float]) -> str:
    """Its process dies between its end and the next thing."""

    def kill() -> None:
        time.sleep(job.data)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=kill).start()
    return "ended"


@nasty
def stops_itself(job: Job[Any]) -> str:
    os.kill(os.getpid(), signal.SIGSTOP)
    return "went on"


@nasty
def ignores_its_end(job: Job[Any]) -> None:
    while True:
        with contextlib.suppress(BaseException):
            time.sleep(LONG)


@nasty
def holds_the_interpreter(job: Job[Any]) -> int:
    return sum(range(10**14))


# -- descriptors and the file system


@nasty
def closes_all_files(job: Job[Any]) -> str:
    os.closerange(3, 1 << 16)
    return "closed"


@nasty
def takes_all_files_for_its_own(job: Job[Any]) -> int:
    """Closes all descriptors, and fills their numbers with a file of its own: nobody may write there but it."""
    for fd in range(3, 64):
        with contextlib.suppress(OSError):
            os.close(fd)
    own = os.open(tempfile.gettempdir(), os.O_RDWR | os.O_TMPFILE)
    for fd in range(3, 64):
        if fd != own:
            os.dup2(own, fd)
    return own


@nasty
def writes_to_all_files(job: Job[bytes]) -> str:
    """To all connections but the ledger's, which tells the truth."""
    for fd in (0, *range(3, 64)):
        with contextlib.suppress(OSError):
            with socket.socket(fileno=os.dup(fd)) as there:
                if there.getpeername() == os.environ["TORTURE_LEDGER"]:
                    continue
            os.write(fd, job.data)
    return "written"


@nasty
def fills_standard_output(job: Job[Any]) -> None:
    """Prints to where nobody reads."""
    saved = os.dup(1)
    read, write = os.pipe()
    os.dup2(write, 1)
    try:
        while True:
            print("x" * 1023)
    finally:
        os.dup2(saved, 1)
        for fd in (read, write, saved):
            os.close(fd)


@nasty
def changes_directory(job: Job[Any]) -> str:
    """To one that is no more."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
    return folder


# -- values


class Unspeakable(Exception):
    """Nothing can be asked of it."""

    def __str__(self) -> str:
        return str(self)

    def __repr__(self) -> str:
        return repr(self)


class Liar(Exception):
    """Says that it is something else, and fails even at that."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)


class Exiting(Exception):
    def __str__(self) -> str:
        sys.exit("while it was asked for its text")


def _named(name: str, module: object) -> Exception:
    kind = type("Named", (Exception,), {"__module__": module})
    kind.__qualname__ = name
    error: Exception = kind("odd")
    return error


@nasty
def raises(job: Job[str]) -> NoReturn:
    match job.data:
        case "surrogates":
            raise ValueError("\ud800\udfff\0")
        case "long":
            raise ValueError("x" * (64 << 20))
        case "strange name":
            raise _named("\ud800 \n\0", 7)
        case "long name":
            raise _named("N" * (16 << 20), "nasty")
        case "unspeakable":
            raise Unspeakable
        case "liar":
            raise Liar
        case "exiting":
            raise Exiting
        case "chain":
            error: BaseException = ValueError("0")
            for n in range(20_000):
                after = ValueError(str(n))
                after.__cause__ = error
                error = after
            raise error
        case "group":
            raise BaseExceptionGroup("many", [ValueError("\ud800"), SystemExit(3), Unspeakable()])
        case "circle":
            first, second = ValueError("first"), ValueError("second")
            first.__cause__, second.__cause__ = second, first
            raise first
    raise AssertionError(job.data)


@nasty
def returns(job: Job[str]) -> Any:
    circle: list[Any] = []
    match job.data:
        case "object":
            return object()
        case "circle":
            circle.append(circle)
            return circle
        case "deep":
            for _ in range(100_000):
                circle = [circle]
            return circle
        case "surrogates":
            return "\ud800"
        case "large":
            return bytes(9 << 20)
        case "key":
            return {("a", object()): 1}
        case "number":
            return 1 << 70
        case "generator":
            return (n for n in range(3))
        case "exception":
            return Unspeakable()
    raise AssertionError(job.data)


# -- the interpreter


@nasty
def deletes_builtins(job: Job[list[str]]) -> str:
    for name in job.data:
        delattr(builtins, name)
    return "deleted"


@nasty
def changes_standard_output(job: Job[Any]) -> str:
    sys.stdout = sys.stderr = None
    return "changed"


@nasty
def traces(job: Job[Any]) -> str:
    """Whatever is called next in this thread raises."""

    def trace(*what: Any) -> None:
        raise RuntimeError("traced")

    sys.settrace(trace)
    return "traced"


@nasty
def profiles(job: Job[Any]) -> str:
    def profile(*what: Any) -> None:
        raise RuntimeError("profiled")

    sys.setprofile(profile)
    return "profiled"


@nasty
def sets_low_limits(job: Job[Any]) -> str:
    """No new descriptors, and little recursion."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    sys.setrecursionlimit(len(inspect.stack()) + 3)
    return "set"


@nasty
async def stops_the_loop(job: Job[Any]) -> None:
    asyncio.get_running_loop().stop()
    await asyncio.sleep(LONG)


@nasty
async def closes_the_loop(job: Job[Any]) -> None:
    loop = asyncio.get_running_loop()
    loop._selector.close()  # type: ignore[attr-defined]
    await asyncio.sleep(LONG)


@nasty
async def cancels_itself(job: Job[Any]) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(LONG)


@nasty
async def swallows_its_cancellation(job: Job[Any]) -> None:
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(LONG)
