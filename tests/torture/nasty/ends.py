"""Ends that a handler brings about: of its process, and of itself."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import time
from typing import Any, NoReturn

from tempotask import Job
from torture.nasty.handler import LONG, nasty, sleep_for_ever


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


# -- of the handler


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
