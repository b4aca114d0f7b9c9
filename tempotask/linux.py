"""What the pool asks of the kernel, in one place. Producers on other systems ask when a process began, and hear 0."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import os
import platform
import select
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from tempotask.errors import TempoTaskError

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGESIZE")
_PIDFD_SIGNAL_THREAD = 1
_PIDFD_SIGNAL_PROCESS_GROUP = 4
_SYS_TGKILL = 234 if platform.machine() == "x86_64" else 131

NEXT_LOOK = 0.05
"""Seconds for which the end of one process is waited for at a time, where others may come home meanwhile."""


def insist() -> None:
    """Raises `TempoTaskError` where no pool can be: before modules are imported that need Linux."""
    if sys.platform != "linux":
        raise TempoTaskError(
            f"the worker pool needs Linux, and this is {sys.platform}: run it there, or in a container; jobs can be "
            "enqueued and looked at from here"
        )


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}) failed")


def become_subreaper() -> None:
    """From now on descendants that lose their parent come home to this process, and not to process 1."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with(parent: int) -> None:
    """Has the kernel kill this process when `parent`'s forking thread ends; ends at once if it is gone already."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def outlive_parent() -> None:
    """Takes `die_with` back."""
    _prctl(_PR_SET_PDEATHSIG, 0)


def children(of: int | str = "self") -> set[int]:
    """The pids of a process' children, of this one's if none is named, zombies among them."""
    found: set[int] = set()
    try:
        tasks = os.listdir(f"/proc/{of}/task")
    except (FileNotFoundError, ProcessLookupError):  # it has ended
        return found
    for task in tasks:
        with (
            contextlib.suppress(FileNotFoundError, ProcessLookupError),
            open(f"/proc/{of}/task/{task}/children", "rb") as file,
        ):
            found.update(map(int, file.read().split()))
    if found or os.path.exists(f"/proc/self/task/{os.getpid()}/children"):
        return found
    import psutil  # only where the kernel has no list of children: it is large

    try:
        return {child.pid for child in psutil.Process(None if of == "self" else int(of)).children()}
    except psutil.Error:
        return set()


def native_threads() -> int:
    """How many threads this process has besides its main one, Python's or not; 0 where nobody can tell."""
    with contextlib.suppress(OSError):
        return len(os.listdir("/proc/self/task")) - 1
    return 0


def _stat(pid: int) -> list[bytes]:
    """What the kernel shows of a process after its name: state, parent, group …; empty when there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            stat = file.read(1024)
    except (FileNotFoundError, ProcessLookupError):
        return []
    return stat[stat.rindex(b")") + 2 :].split()  # the name, in parentheses, may hold anything


def state(pid: int) -> str:
    """The letter that the kernel shows for a process ("R", "S", "T" …), or "" when there is none of that pid."""
    stat = _stat(pid)
    return stat[0].decode() if stat else ""


def now_ns() -> int:
    """Nanoseconds since the machine started."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def born_ns(pid: int) -> int:
    """When a process was started, by the same clock, cut to a multiple of `TICK_NS`; 0 elsewhere or if it is gone."""
    return _born_ns(_stat(pid))


def _born_ns(stat: list[bytes]) -> int:
    return int(stat[19]) * TICK_NS if stat else 0


def has_ended(pid: int, born: int) -> bool:
    """Whether the process that was started at `born`, by `born_ns`, has ended. A zombie has, and so has one whose pid
    is another one's by now."""
    if stat := _stat(pid):
        return stat[0] in (b"Z", b"X") or _born_ns(stat) != born
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # it is another user's
    return False  # it is there, and /proc hides it


def cpu_seconds(pid: int) -> float:
    """Seconds of the processor that a process has used, without its children; 0 when there is none of that pid."""
    stat = _stat(pid)
    return (int(stat[11]) + int(stat[12])) * TICK_NS / 1e9 if stat else 0.0


def resident(pid: int) -> int:
    """Bytes of memory that a process holds (RSS), what it shares with others too; 0 when there is none of that pid."""
    try:
        with open(f"/proc/{pid}/statm", "rb", buffering=0) as file:
            return int(file.read(128).split()[1]) * _PAGE
    except (FileNotFoundError, ProcessLookupError, IndexError):  # the last of one that is just ending
        return 0


def group(pid: int) -> int:
    """The process group of a process, a zombie's too, or 0 when there is none of that pid."""
    with contextlib.suppress(OSError):
        return os.getpgid(pid)
    return 0


def environment_holds(pid: int, entry: str) -> bool:
    """Whether a process was started with `NAME=value` in its environment, or forked from one that was, unless a title
    of the process has taken its place (setproctitle)."""
    try:
        return entry.encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False


def open_pidfd(pid: int) -> int:
    """A descriptor that gets readable when the process ends, or -1 where there is no such thing."""
    with contextlib.suppress(OSError):
        return os.pidfd_open(pid)
    return -1


def send_signal(pid: int, pidfd: int, number: int) -> None:
    """Signal one process, if it is still there; through `pidfd`, if there is one, so that nobody else can be hit."""
    with contextlib.suppress(ProcessLookupError):
        if pidfd >= 0:
            signal.pidfd_send_signal(pidfd, number)
        elif pid > 0:
            os.kill(pid, number)


def signal_main_thread(pid: int, pidfd: int, number: int) -> None:
    """Signal the main thread of a process, if it is still there.

    What is sent to a process that was stopped a moment ago may go to any of its threads, and then does not wake the
    main one from a system call, though only that one runs Python's handlers.
    """
    if pidfd >= 0:
        with contextlib.suppress(OSError):
            return signal.pidfd_send_signal(pidfd, number, None, _PIDFD_SIGNAL_THREAD)
        if signal_thread(pid, pidfd, pid, number):  # before Linux 6.9
            return None
    return send_signal(pid, pidfd, number)


def signal_thread(pid: int, pidfd: int, thread: int, number: int) -> bool:
    """Signal one thread of a process, if both are still there. Returns whether it was sent."""
    with contextlib.suppress(OSError):
        if pidfd >= 0:
            # See that the numbers are still its own.
            signal.pidfd_send_signal(pidfd, 0)
        libc = ctypes.CDLL(None)
        # musl has no function for it.
        tgkill = getattr(libc, "tgkill", None) or functools.partial(libc.syscall, _SYS_TGKILL)
        return bool(tgkill(pid, thread, number) == 0)
    return False


def kill_group(pid: int, pidfd: int = -1) -> None:
    """SIGKILL to every process of the group that `pid` leads, or led, and to `pid` itself, which may have left it. A
    group that is gone is none."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        _kill_group(pid, pidfd)
    with contextlib.suppress(PermissionError):
        send_signal(pid, pidfd, signal.SIGKILL)


def _kill_group(pid: int, pidfd: int) -> None:
    if pidfd >= 0:
        try:
            return signal.pidfd_send_signal(pidfd, signal.SIGKILL, None, _PIDFD_SIGNAL_PROCESS_GROUP)
        except OSError as error:
            if isinstance(error, ProcessLookupError | PermissionError):
                raise
            signal.pidfd_send_signal(pidfd, 0)  # before Linux 6.9: at least see that the number is still its own
    if pid > 0:
        os.killpg(pid, signal.SIGKILL)
    return None


def kill(pids: Iterable[int]) -> None:
    """SIGKILL to each; those that are gone or not ours are passed over."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def reap(pid: int, within: float) -> int | None:
    """Waits up to `within` seconds for a child that is about to end.

    Returns its wait status; `None` when it is no child of ours (any more) or did not end in time.
    """
    until = time.monotonic() + within
    while True:
        try:
            found, status = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            return None
        if found:
            return status
        if (left := until - time.monotonic()) <= 0:
            return None
        _await_end(pid, left)


def _await_end(pid: int, within: float) -> None:
    """Sleeps until a child ends, for so many seconds at most; for a moment where nothing tells of it."""
    pidfd = open_pidfd(pid)
    if pidfd < 0:
        time.sleep(0.0005)
        return
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        poll.poll(within * 1000)
    finally:
        os.close(pidfd)


def close_others(kept: int) -> None:
    """Closes all descriptors but the standard three and the one that is kept."""
    try:
        opened = [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError:
        opened = list(range(os.sysconf("SC_OPEN_MAX")))
    for fd in opened:
        if fd > 2 and fd != kept:
            with contextlib.suppress(OSError):
                os.close(fd)


def has_terminal() -> bool:
    """Whether this process belongs to a terminal that is still there."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True


def refusal(error: OSError) -> str:
    """Why the system refuses something, and where its limit is set."""
    return f"{error.strerror}{_LIMITS.get(error.errno or 0, '')}"


_LIMITS = {
    errno.EAGAIN: ": the limit of processes and threads (`ulimit -u`, or the container's) is reached",
    errno.EMFILE: ": the limit of descriptors is reached; raise it (`ulimit -n`) or have fewer workers",
    errno.ENOMEM: ": the machine, or the container, has no memory left",
}


def anonymous_file(name: str, content: bytes) -> int:
    """A descriptor of a file that has no place on disk, holding `content`, for sharing with other processes."""
    fd = os.memfd_create(name)
    os.write(fd, content)
    return fd
