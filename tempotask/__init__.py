"""TempoTask: a durable job queue that runs CPU-heavy batches on every core."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tempotask.completion import as_completed
    from tempotask.errors import (
        DuplicateTask,
        InvalidName,
        InvalidOptions,
        InvalidPayload,
        JobCancelled,
        JobFailed,
        JobNotFound,
        JobTimeout,
        NotDurable,
        NotImportable,
        ResultExpired,
        ServerFull,
        ServerUnavailable,
        TempoTaskError,
        UnknownTask,
        WorkerCrashed,
    )
    from tempotask.events import Event, Subscription
    from tempotask.handle import JobHandle, JobHandles
    from tempotask.info import JobInfo, QueueInfo
    from tempotask.job import Context, Job
    from tempotask.manager import QueueManager
    from tempotask.options import JobOptions, Options
    from tempotask.repeat import Repeat
    from tempotask.retry import Retry
    from tempotask.task import Task

__all__ = [
    "Context",
    "DuplicateTask",
    "Event",
    "InvalidName",
    "InvalidOptions",
    "InvalidPayload",
    "Job",
    "JobCancelled",
    "JobFailed",
    "JobHandle",
    "JobHandles",
    "JobInfo",
    "JobNotFound",
    "JobOptions",
    "JobTimeout",
    "NotDurable",
    "NotImportable",
    "Options",
    "QueueInfo",
    "QueueManager",
    "Repeat",
    "ResultExpired",
    "Retry",
    "ServerFull",
    "ServerUnavailable",
    "Subscription",
    "Task",
    "TempoTaskError",
    "UnknownTask",
    "WorkerCrashed",
    "as_completed",
]

_WHERE = {
    "Context": "job",
    "Event": "events",
    "Job": "job",
    "JobHandle": "handle",
    "JobHandles": "handle",
    "JobInfo": "info",
    "JobOptions": "options",
    "Options": "options",
    "QueueInfo": "info",
    "QueueManager": "manager",
    "Repeat": "repeat",
    "Retry": "retry",
    "Subscription": "events",
    "Task": "task",
    "as_completed": "completion",
}


def __getattr__(name: str) -> Any:
    """Public names are imported when they are first used: our own processes and commands need few of them, soon."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_WHERE.get(name, 'errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
