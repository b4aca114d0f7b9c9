"""What a handler holds: the job that it runs, and the context that it runs in."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import msgspec

from tempotask import payload
from tempotask.children import Children
from tempotask.errors import InvalidOptions
from tempotask.handle import JobHandle, JobHandles

if TYPE_CHECKING:
    from tempotask.manager import QueueManager
    from tempotask.options import GivenOptions, JobOptions
    from tempotask.store.addition import NewJob

D = TypeVar("D")
A = TypeVar("A")
A_co = TypeVar("A_co", covariant=True)

LINE_BYTES, HEAD_BYTES = 64 * 1024, 5
"""The longest log line that is kept, encoded; what an encoded text has in front of it."""
CUT = " …".encode()
"""How a line ends that was cut."""
NOTE = 1000
"""Characters of a note on the progress that are kept."""


class Logged:
    """What `Job.logger` and `Job.progress` return: it may be awaited, and needn't be."""

    def __await__(self) -> Generator[None, None, None]:
        yield from ()


_LOGGED = Logged()


class Sink(Protocol):
    """Where words go, with the job that says them: this try of it, as its next one has the same id."""

    def log(self, job: Job[Any], line: bytes, /) -> None:
        """An encoded line."""

    def tell(self, job: Job[Any], progress: tuple[float, float | None, str | None], /) -> None:
        """How far it is: done, total, a note."""


class _Nowhere:
    """Where words go when no worker listens: a handler called by a test."""

    def log(self, job: Job[Any], line: bytes, /) -> None:
        pass

    def tell(self, job: Job[Any], progress: tuple[float, float | None, str | None], /) -> None:
        pass


_NOWHERE = _Nowhere()


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
    """A fencing token: a later start of a job has a higher one, also after the server came back with older state."""
    cancelled: bool = False
    """Whether the job was cancelled while it runs: a `def` handler that sees it should end within `cancel_grace`."""
    _enqueued: float = 0.0
    _sink: Sink = _NOWHERE

    @property
    def enqueued_at(self) -> datetime:
        """When the job was added, by the server's clock."""
        return datetime.fromtimestamp(self._enqueued, UTC)

    def logger(self, message: object) -> Logged:
        """Keeps a line with the job: text, or anything that a payload may be.

        Raises:
            InvalidPayload: a message that can't be encoded, or one of more than 64 KiB that is no text. Text is cut,
                and what is no Unicode in it replaced.
        """
        if isinstance(message, str):
            # Text is cut, and what is no Unicode replaced: losing a job over a line would be out of proportion.
            whole = message.encode(errors="replace")
            if len(whole) > LINE_BYTES - HEAD_BYTES:
                whole = whole[: LINE_BYTES - HEAD_BYTES - len(CUT)] + CUT
            message = whole.decode(errors="ignore")
        self._sink.log(self, payload.encode(message, LINE_BYTES, "the log line"))
        return _LOGGED

    def progress(self, done: float, total: float | None = None, note: str | None = None) -> Logged:
        """Says how far the job is: so much is done, of so much in all if that is known; the latest call counts.

        Raises:
            InvalidOptions: what is no number, or a negative one; a note that is no text.
        """
        if note is not None and not isinstance(note, str):
            raise InvalidOptions(f"progress(note={note!r}): a note is a str")
        whole = None if total is None else _amount("total", total)
        shown = None if note is None else note[:NOTE].encode(errors="replace").decode()
        self._sink.tell(self, (_amount("done", done), whole, shown))
        return _LOGGED


def _amount(name: str, value: float) -> float:
    """A number that may stand for an amount."""
    try:
        amount = math.nan if isinstance(value, str | bytes | bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        amount = math.nan
    if not 0 <= amount < math.inf:
        raise InvalidOptions(f"progress({name}={value!r}): give a number that is not negative")
    return amount


class Context(Generic[A_co]):
    """What a handler works with: the application's own context, and the way to add more jobs.

    Any attribute that is not its own is looked up in the application's context (a mapping's keys become attributes).
    """

    def __init__(self, manager: QueueManager[Any], app: A_co) -> None:
        self._manager = manager
        self._app = app
        self._job: Job[Any] | None = None
        """The job that runs; the worker sets it."""
        self._children = Children()

    @property
    def app(self) -> A_co:
        """The application's own context: what the factory given to `init` made in this process, or what was given."""
        return self._app

    def enqueue(
        self,
        *,
        name: str,
        queue: str,
        data: object = None,
        options: JobOptions | Mapping[str, Any] | None = None,
        on_success: bool = False,
    ) -> JobHandle[Any]:
        """Adds a job as a child of the one that runs. See `QueueManager.enqueue`.

        It is added at once; with `on_success`, in the same step in which its parent completes, and never if this try
        fails, crashes or is cut off. Until then its handle is one of a job that nobody knows. A `delay` counts from
        this call all the same.

        Raises:
            What `QueueManager.enqueue` does; `InvalidOptions` for `on_success` where no job runs, or for more than
            1,000 such children.
        """
        return self._enqueue(self._job, on_success, queue, name, data, options)

    async def aenqueue(
        self,
        *,
        name: str,
        queue: str,
        data: object = None,
        options: JobOptions | Mapping[str, Any] | None = None,
        on_success: bool = False,
    ) -> JobHandle[Any]:
        """`enqueue`, to be awaited."""
        apart = self._manager._client.apart
        return await apart(self._enqueue, self._job, on_success, queue, name, data, options)

    def publish(
        self,
        *,
        name: str,
        queues: Iterable[str],
        data: object = None,
        options: JobOptions | Mapping[str, Any] | None = None,
        on_success: bool = False,
    ) -> JobHandles[Any]:
        """Adds one copy of a job to each queue, as children of this one: at once, or with its success as `enqueue`
        does. See `QueueManager.publish`."""
        return self._publish(self._job, on_success, queues, name, data, options)

    async def apublish(
        self,
        *,
        name: str,
        queues: Iterable[str],
        data: object = None,
        options: JobOptions | Mapping[str, Any] | None = None,
        on_success: bool = False,
    ) -> JobHandles[Any]:
        """`publish`, to be awaited."""
        apart = self._manager._client.apart
        return await apart(self._publish, self._job, on_success, queues, name, data, options)

    def _enqueue(
        self, parent: Job[Any] | None, on_success: bool, queue: str, name: str, data: object, options: GivenOptions
    ) -> JobHandle[Any]:
        producer, id = self._manager._producer, None if parent is None else parent.id
        if on_success:
            return self._hold(parent, producer.one(queue, name, data, options, id, at_once=False)[1])[0]
        handle = producer.enqueue(queue, name, data, options, id)
        self._note(parent, [handle])
        return handle

    def _publish(
        self,
        parent: Job[Any] | None,
        on_success: bool,
        queues: Iterable[str],
        name: str,
        data: object,
        options: GivenOptions,
    ) -> JobHandles[Any]:
        producer, id = self._manager._producer, None if parent is None else parent.id
        if on_success:
            return self._hold(parent, producer.copies(queues, name, data, options, id, at_once=False)[1])
        handles = producer.publish(queues, name, data, options, id)
        self._note(parent, handles)
        return handles

    def _note(self, parent: Job[Any] | None, handles: Iterable[JobHandle[Any]]) -> None:
        # A thread that a handler left behind adds jobs, but they are no children of the job that runs now.
        if parent is not None and parent is self._job:
            self._children.note(handle.id for handle in handles if handle.created)

    def _hold(self, parent: Job[Any] | None, jobs: list[NewJob]) -> JobHandles[Any]:
        if parent is None or parent is not self._job:
            raise InvalidOptions("on_success=True waits for the success of a running job; outside of one, leave it out")
        return self._manager._producer.handles(jobs, self._children.hold(jobs))

    def __getattr__(self, name: str) -> Any:
        # Only reached for names that are not ours; `_app` itself is missing while a copy is being made.
        app = self.__dict__.get("_app")
        if isinstance(app, Mapping):
            if name in app:
                return app[name]
        else:
            try:
                return getattr(app, name)
            except AttributeError:
                if hasattr(type(app), name):
                    raise  # that of a property, which says what it lacks
        raise AttributeError(f"neither the context nor the application's own ({type(app).__name__}) has {name!r}")
