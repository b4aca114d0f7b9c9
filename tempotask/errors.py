"""Everything that can go wrong, by name. Each message says what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tempotask.handle import JobHandle


class TempoTaskError(Exception):
    """The base of all errors that TempoTask raises on purpose."""

    handles: Sequence[JobHandle[Any]] = ()
    """Of a call that adds many jobs, and raised half-way: those that are in."""


class DuplicateTask(TempoTaskError):
    """Two tasks were registered under the same queue and name."""


class UnknownTask(TempoTaskError):
    """No application declares a task of this queue and name."""


class InvalidPayload(TempoTaskError, ValueError):
    """Data or a result that can't be encoded, does not fit its type, or is too large."""


class InvalidOptions(TempoTaskError, ValueError):
    """An option that does not exist or has a value that makes no sense."""


class InvalidName(TempoTaskError, ValueError):
    """A queue, a task, a namespace or an id that is not spelt as names are."""


class NotImportable(TempoTaskError):
    """The application, or a part of it, can't be imported by another process."""


class ServerUnavailable(TempoTaskError, ConnectionError):
    """The server did not answer in time, refused us, or is too old."""


class NotDurable(ServerUnavailable):
    """The change is made, and was not as durable as `options.durability` asks within `connect_timeout`.

    `handles` are the jobs that were added. They will run, unless the server or its machine is lost before it is done.
    """

    def __init__(self, message: str, answer: bytes = b"") -> None:
        super().__init__(message)
        self.answer = answer
        """What the server answered, in its own form."""
        self.created: list[bool] = []
        """Which of the jobs were created."""


class ServerFull(TempoTaskError):
    """The server is at its `maxmemory`: it drains, but takes no new jobs."""


class JobNotFound(TempoTaskError, LookupError):
    """Nobody knows a job of this id."""

    @classmethod
    def of(cls, id: str) -> Self:
        """The error for that job."""
        return cls(f"nobody knows a job {id!r}; check the id, the server and the namespace")


class ResultExpired(TempoTaskError, LookupError):
    """The job has ended, and its outcome is no longer kept; or it was deleted, or the server has lost its data."""


class JobCancelled(TempoTaskError):
    """The job was cancelled or deleted before it came to an end of its own."""


class JobFailed(TempoTaskError):
    """The job ended with an error.

    `type`, `message` and `traceback` are text: the remote exception's type as tracebacks print it, its message
    and its formatted traceback (empty when there was no Python to write one). Who lets the error go uncaught is shown
    that traceback as well.
    """

    def __init__(self, id: str, type: str, message: str, traceback: str = "") -> None:
        what = f"{type}: {message}" if message else type
        # Without an id it is raised in a handler, of its own job.
        super().__init__(f"job {id} failed: {what}" if id else message or type)
        self.id = id
        self.type = type
        self.message = message
        self.traceback = traceback
        if traceback:
            self.add_note(f"\nIn the job:\n{traceback.rstrip()}")

    def __reduce__(self) -> tuple[object, ...]:
        return self.__class__, (self.id, self.type, self.message, self.traceback)


class JobTimeout(JobFailed):
    """The job ran into its `timeout`. In a handler: raised when the time of this try is over."""

    def __init__(self, id: str = "", type: str = "JobTimeout", message: str = "", traceback: str = "") -> None:
        super().__init__(id, type, message, traceback)


class WorkerCrashed(JobFailed):
    """The job's process died under it `max_crashes` times."""


VERDICTS: Mapping[str, type[JobFailed]] = {kind.__name__: kind for kind in (JobTimeout, WorkerCrashed)}
"""The kinds of failure that we tell ourselves, by the names under which they are kept."""
