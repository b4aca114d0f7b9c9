"""TempoTask: a durable job queue that runs CPU-heavy batches on every core."""

from tempotask.errors import (
    DuplicateTask,
    InvalidName,
    InvalidOptions,
    InvalidPayload,
    JobCancelled,
    JobFailed,
    JobNotFound,
    JobTimeout,
    NotImportable,
    ResultExpired,
    ServerFull,
    ServerUnavailable,
    TempoTaskError,
    UnknownTask,
    WorkerCrashed,
)
from tempotask.handle import JobHandle, JobHandles, as_completed
from tempotask.info import JobInfo
from tempotask.job import Context, Job
from tempotask.manager import QueueManager
from tempotask.options import JobOptions, Options
from tempotask.task import Task

__all__ = [
    "Context",
    "DuplicateTask",
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
    "NotImportable",
    "Options",
    "QueueManager",
    "ResultExpired",
    "ServerFull",
    "ServerUnavailable",
    "Task",
    "TempoTaskError",
    "UnknownTask",
    "WorkerCrashed",
    "as_completed",
]
