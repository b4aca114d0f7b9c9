"""Handlers that leave grandchildren behind."""

from __future__ import annotations

import os
import time
from typing import Any

from chores import App, tell

from tempotask import Context, Job, QueueManager

tempotask = QueueManager.init(ctx=App)


def leave_the_group() -> int:
    """Starts a process in a session of its own; 0 in that one."""
    child = os.fork()
    if child == 0:
        os.setsid()
    return child


@tempotask.task(queue="q")
def descend(job: Job[Any], ctx: Context[App]) -> None:
    """Its child has a child, and ends: nobody is left who would know of that one."""
    child = leave_the_group()
    if child == 0:
        if leave_the_group() == 0:
            tell("grandchild", os.getpid())
            time.sleep(600)
        os._exit(0)
    os.waitpid(child, 0)
    time.sleep(600)


@tempotask.task(queue="q")
def who(job: Job[Any], ctx: Context[App]) -> int:
    return os.getpid()
