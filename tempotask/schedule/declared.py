"""The schedules of an application's tasks, as its nursery reports them to the supervisor."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET

from tempotask.errors import InvalidOptions
from tempotask.store.schedules import Schedule

if TYPE_CHECKING:
    from tempotask.task import Task


def schedule_of(task: Task[Any, Any]) -> Schedule | None:
    """The schedule of a task: it is called like the task, unless it has an id. None if it does not repeat."""
    options = task.options
    if options.repeat is UNSET:
        return None
    id = f"{task.queue}:{task.name}" if options.id is UNSET else options.id
    priority = "0" if options.priority is UNSET else str(options.priority)
    return Schedule(id, task.queue, task.name, options.repeat, priority)


def check(task: Task[Any, Any], others: Iterable[Task[Any, Any]]) -> None:
    """Refuses with `InvalidOptions` a task that can't run without data, and two schedules of one id."""
    schedule = schedule_of(task)
    if schedule is None:
        return
    try:
        task.decoder.decode(b"\xc0")
    except msgspec.MsgspecError:
        raise InvalidOptions(
            f"{task!r} repeats, so its jobs come without data, which its handler does not take; annotate it with "
            "Job[None], or give data and repeat to enqueue"
        ) from None
    for other in others:
        if (theirs := schedule_of(other)) is not None and theirs.id == schedule.id:
            raise InvalidOptions(f"{task!r} repeats as {schedule.id!r}, and so does {other!r}; give each an id")


def encode(tasks: Iterable[Task[Any, Any]]) -> bytes:
    """All schedules of these tasks."""
    return msgspec.msgpack.encode([schedule for task in tasks if (schedule := schedule_of(task)) is not None])


def decode(encoded: bytes) -> list[Schedule]:
    """The reverse of `encode`."""
    return msgspec.msgpack.decode(encoded, type=list[Schedule]) if encoded else []
