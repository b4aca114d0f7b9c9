"""Where a worker is in its code, written by itself for who asks (stacks.py), with as little as that needs."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import os
from collections.abc import Iterator
from typing import Any

from tempotask.pool.control_block import AWAITS, STACK_SIGNAL, STACKS, ControlBlock

MOST_TASKS, MOST_FRAMES = 20, 50
"""Bounds of what is told of one handler: tasks that it has started, calls of each."""


def write_on_signal(block: ControlBlock) -> None:
    """In a worker: from now on its stack can be asked for."""
    with contextlib.suppress(OSError, ValueError, RuntimeError):
        faulthandler.register(STACK_SIGNAL, file=block.fd, all_threads=False)
        block.words[STACKS] = 1


def write_awaits(block: ControlBlock, task: asyncio.Task[Any] | None, handler: object) -> None:
    """In a worker's second thread, which was asked: where the handler that runs in this task awaits, the innermost call
    first, and then the tasks that it has started."""
    try:
        # All of it changes under us.
        with contextlib.suppress(Exception):
            lines = [] if task is None else list(_awaits(task, handler))
            os.write(block.fd, "".join(f"{line}\n" for line in lines).encode(errors="replace"))
    finally:
        block.words[AWAITS] = 0


def _awaits(task: asyncio.Task[Any], handler: object) -> Iterator[str]:
    # While it runs it awaits nothing; its frame is in the stack then.
    if getattr(handler, "cr_await", None) is not None:
        yield from _calls(handler)
    others = sorted(asyncio.all_tasks(task.get_loop()) - {task}, key=lambda other: other.get_name())
    for other in others[:MOST_TASKS]:
        yield f"  of its task {other.get_name()}:"
        yield from _calls(other.get_coro())
    if len(others) > MOST_TASKS:
        yield f"  and {len(others) - MOST_TASKS} tasks more"


def _calls(awaited: object) -> list[str]:
    """From a coroutine to what that awaits, and so on, as far as there are frames; the innermost first."""
    lines: list[str] = []
    while awaited is not None and len(lines) < MOST_FRAMES:
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "gi_frame", None)
        if frame is None:
            break
        lines.append(f'  File "{frame.f_code.co_filename}", line {frame.f_lineno} in {frame.f_code.co_name}')
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)
    return lines[::-1]
