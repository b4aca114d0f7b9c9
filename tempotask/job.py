"""What a handler holds: the job that it runs, and the context that it runs in."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from tempotask import later, payload
from tempotask.handle import JobHandle, JobHandles

if TYPE_CHECKING:
    from tempotask.manager import QueueManager
    from tempotask.options import JobOptions

__all__ = ["Context", "Job", "JobHandle", "JobHandles"]

D = TypeVar("D")
A = TypeVar("A")
A_co = TypeVar("A_co", covariant=True)

LINE_BYTES = 64 * 1024
"""The longest log line that is kept."""


class Logged:
    """What `Job.logger` returns: it may be awaited, and needn't be."""

    def __await__(self) -> Generator[None, None, None]:
        yield from ()


_LOGGED = Logged()


def _nowhere(id: str, line: bytes) -> None:
    """Where log lines go when no worker listens: a handler called by a test."""


class Job(msgspec.Struct, Generic[D]):
    """A job as its handler sees it."""

    id: str
    name: str
    queue: str
    data: D
    attempt: int = 1
    """1 for the first try."""
    priority: int = 0
    parent: str | None = None
    """The id of the job whose handler added this one."""
    token: int = 0
    """A fencing token: each start of any job has a higher one."""
    cancelled: bool = False
    _enqueued: float = 0.0
    _sink: Callable[[str, bytes], None] = _nowhere

    @property
    def enqueued_at(self) -> datetime:
        """When the job was added, by the server's clock."""
        return datetime.fromtimestamp(self._enqueued, UTC)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            raise later.missing("a job", name, later.JOB)

    def logger(self, message: object) -> Logged:
        """Keeps a line with the job: text, or anything that a payload may be.

        Raises:
            InvalidPayload: a message that can't be encoded, or of more than 64 KiB.
        """
        if isinstance(message, str) and len(message) > LINE_BYTES // 4:
            # Text is cut rather than refused: losing a job over a long line would be out of proportion.
            message = message.encode(errors="replace")[: LINE_BYTES - 64].decode(errors="ignore") + " …"
        self._sink(self.id, payload.encode(message, LINE_BYTES, "the log line"))
        return _LOGGED


class Context(Generic[A_co]):
    """What a handler works with: the application's own context, and the way to add more jobs.

    Any attribute that is not its own is looked up in the application's context (a mapping's keys become attributes).
    """

    def __init__(self, manager: QueueManager[Any], app: A_co) -> None:
        self._manager = manager
        self._app = app
        self._job: str | None = None
        """The id of the job that runs; the worker sets it."""

    @property
    def app(self) -> A_co:
        """The application's own context: what the factory given to `init` made in this process, or what was given."""
        return self._app

    def enqueue(
        self, *, name: str, queue: str, data: object = None, options: JobOptions | Mapping[str, Any] | None = None
    ) -> JobHandle[Any]:
        """Adds a job, at once, as a child of the one that runs. See `QueueManager.enqueue`."""
        return self._manager._producer.enqueue(queue, name, data, options, self._job)

    async def aenqueue(
        self, *, name: str, queue: str, data: object = None, options: JobOptions | Mapping[str, Any] | None = None
    ) -> JobHandle[Any]:
        """`enqueue`, to be awaited."""
        manager = self._manager
        return await manager._client.apart(manager._producer.enqueue, queue, name, data, options, self._job)

    def publish(
        self,
        *,
        name: str,
        queues: Iterable[str],
        data: object = None,
        options: JobOptions | Mapping[str, Any] | None = None,
    ) -> JobHandles[Any]:
        """Adds one copy of a job to each queue, at once, as children of this one. See `QueueManager.publish`."""
        return self._manager._producer.publish(queues, name, data, options, self._job)

    async def apublish(
        self,
        *,
        name: str,
        queues: Iterable[str],
        data: object = None,
        options: JobOptions | Mapping[str, Any] | None = None,
    ) -> JobHandles[Any]:
        """`publish`, to be awaited."""
        manager = self._manager
        return await manager._client.apart(manager._producer.publish, queues, name, data, options, self._job)

    def __getattr__(self, name: str) -> Any:
        # Only reached for names that are not ours; `_app` itself is missing while a copy is being made.
        app = self.__dict__.get("_app")
        if isinstance(app, Mapping):
            if name in app:
                return app[name]
        elif hasattr(app, name):
            return getattr(app, name)
        raise AttributeError(f"neither the context nor the application's own ({type(app).__name__}) has {name!r}")
