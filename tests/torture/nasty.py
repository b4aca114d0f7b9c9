"""Handlers that do what no handler should. Each is a task of the queue `nasty`, under its function's name.

What they do to their process they do for good where the process is lost anyway, and they take back what would be
another job's by right: a limit on memory, standard output.
"""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import ctypes
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any, NoReturn

from tempotask import Job

QUEUE = "nasty"
LONG = 3600.0
"""Seconds that no job runs."""

Handler = Callable[[Job[Any]], Any]
HANDLERS: dict[str, Handler] = {}


def nasty(handler: Handler) -> Handler:
    """Makes it a task of the application under torture."""
    HANDLERS[handler.__name__] = handler
    return handler


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
    call = ctypes.CFUNCTYPE(None)
    libc = ctypes.CDLL(None)
    compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
    del call
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
def eats_memory(job: Job[int]) -> None:
    """Takes more and more, until somebody refuses or ends it."""
    held = []
    while True:
        held.append(bytearray(os.urandom(1 << 16)) * 64)


@nasty
def eats_memory_under_a_limit(job: Job[Any]) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as file:
        size = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + (64 << 20), hard))
    try:
        eats_memory(job)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


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
        sleep_for_ever()
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
        sleep_for_ever()
    os.waitpid(child, 0)
    os.close(write)
    with open(read) as file:
        return int(file.read(20))


@nasty
def starts_a_program_that_stays(job: Job[Any]) -> int:
    return subprocess.Popen(["sleep", str(LONG)], start_new_session=True).pid


@nasty
def starts_threads_that_stay(job: Job[Any]) -> int:
    for _ in range(5):
        threading.Thread(target=sleep_for_ever).start()
    return threading.active_count()


@nasty
def leaves_its_group(job: Job[Any]) -> NoReturn:
    """Goes where its nursery is, so that whoever ends its group does not hit it."""
    os.setpgid(0, os.getpgid(os.getppid()))
    sleep_for_ever()


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
    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, signal.NSIG))
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
def stops_itself(job: Job[Any]) -> str:
    os.kill(os.getpid(), signal.SIGSTOP)
    return "went on"


@nasty
def ignores_its_end(job: Job[Any]) -> NoReturn:
    while True:
        with contextlib.suppress(BaseException):
            sleep_for_ever()


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
    own = tempfile.TemporaryFile()
    for fd in range(3, 64):
        if fd != own.fileno():
            os.dup2(own.fileno(), fd)
    OWN_FILES.append(own)
    return own.fileno()


OWN_FILES: list[Any] = []


@nasty
def writes_to_all_files(job: Job[bytes]) -> str:
    for fd in range(3, 64):
        with contextlib.suppress(OSError):
            os.set_blocking(fd, False)
            os.write(fd, job.data)
    return "written"


@nasty
def fills_standard_output(job: Job[int]) -> str:
    for _ in range(job.data):
        print("x" * 1023)
        os.write(1, b"y" * 1024)
    return "filled"


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

    @property
    def __class__(self) -> Any:  # type: ignore[override]
        raise RuntimeError("what class?")

    @property
    def __traceback__(self) -> Any:  # type: ignore[override]
        raise RuntimeError("what traceback?")


class Exiting(Exception):
    def __str__(self) -> str:
        sys.exit("while it was asked for its text")


@nasty
def raises(job: Job[str]) -> NoReturn:
    match job.data:
        case "surrogates":
            raise ValueError("\ud800\udfff\0")
        case "long":
            raise ValueError("x" * (64 << 20))
        case "strange name":
            raise type("\ud800 \n\0", (Exception,), {"__module__": 7})("odd")
        case "long name":
            raise type("N" * (16 << 20), (Exception,), {})("odd")
        case "name that is none":
            kind = type("Named", (Exception,), {"__module__": property(lambda _: 1 / 0)})
            raise kind("odd")
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


class Evil(str):
    def encode(self, *how: Any) -> bytes:
        raise RuntimeError("no")

    __str__ = __repr__ = __hash__ = encode  # type: ignore[assignment]


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
        case "evil key":
            return {Evil("a").__class__("k") if False else ("a", object()): 1}
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
    sys.stdout = sys.stderr = None  # type: ignore[assignment]
    return "changed"


@nasty
def closes_standard_output(job: Job[Any]) -> str:
    sys.stdout.close()
    sys.stderr.close()
    return "closed"


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
    sys.setrecursionlimit(len(__import__("inspect").stack()) + 3)
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
