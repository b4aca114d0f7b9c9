"""Signals that a handler blocks, resets, sends to itself or does not mind."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from typing import Any

from tempotask import Job
from torture.nasty.handler import LONG, nasty, sleep_for_ever


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
