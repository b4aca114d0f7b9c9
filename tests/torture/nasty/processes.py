"""Processes and threads that a handler starts, and what it is to those that started it."""

from __future__ import annotations

import ctypes
import os
import subprocess
import threading
from typing import Any, NoReturn

from setproctitle import setproctitle

from tempotask import Job
from torture.nasty.handler import LONG, nasty, sleep_for_ever
from torture.nasty.signals import ignores_its_end


def stay() -> NoReturn:
    """In a child: it has its parent's title, and is no worker."""
    setproctitle("a child of a handler")
    sleep_for_ever()


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
