"""A task: a handler under a queue and a name, with the types of its data and its result."""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Iterable,
    Mapping,
)
from functools import cached_property
from types import FrameType
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, Unpack, overload

import msgspec
from msgspec import UNSET

from tempotask import arrays
from tempotask.annotations import annotated, call_of, function_of, place_of, sendable, signature_against
from tempotask.errors import InvalidOptions, InvalidPayload, TempoTaskError
from tempotask.handle import JobHandle, JobHandles
from tempotask.job import Context, Job
from tempotask.mapping.flow import Flow
from tempotask.names import check_name
from tempotask.options import DEFAULTS, CallFields, JobOptions, merged
from tempotask.store.records import NIL
from tempotask.store.schedules import Schedule

if TYPE_CHECKING:
    from tempotask.manager import QueueManager

D = TypeVar("D")
R = TypeVar("R")

_ELSEWHERE = {"apply_async", "delay", "run", "s", "send", "send_with_options", "signature", "submit"}
"""What adds a job in other queues."""
LEFT_OUT: Any = None
"""Stands for data that was left out. Untyped, as the type of the data may not have None."""


class Task(Generic[D, R]):
    """A handler under a queue and a name.

    `D` and `R`, the types of the data and of the result, are those of `Task[D, R](…)`, else of the handler's
    annotations (`Job[D]` and what it returns), else anything. Calling a task calls its handler.

    Raises:
        InvalidName: a queue or a name that is not spelt as names are.
        InvalidOptions: a handler that does not take (job, ctx), or an option that does not exist or makes no sense.
    """

    @overload
    def __init__(
        self,
        *,
        name: str,
        queue: str,
        handler: Callable[[Job[D], Context[Any]], Coroutine[Any, Any, R]],
        options: JobOptions | Mapping[str, Any] | None = None,
        description: str = "",
    ) -> None: ...
    @overload
    def __init__(
        self,
        *,
        name: str,
        queue: str,
        handler: Callable[[Job[D], Context[Any]], R | Awaitable[R]],
        options: JobOptions | Mapping[str, Any] | None = None,
        description: str = "",
    ) -> None: ...
    def __init__(
        self,
        *,
        name: str,
        queue: str,
        handler: Callable[[Job[D], Context[Any]], Any],
        options: JobOptions | Mapping[str, Any] | None = None,
        description: str = "",
    ) -> None:
        self.name = check_name("task", name)
        self.queue = check_name("queue", queue)
        frame = declaring_frame()
        self.where = place_of(frame)
        """Where it was declared, `file:line`."""
        self.module = str(frame.f_globals.get("__name__"))
        """The module that declares it."""
        # One task may be the handler of another, under a second name.
        other = handler if isinstance(handler, Task) else None
        handler = handler if other is None else other.handler
        self.handler: Callable[..., Any] = _checked(handler, self.where)
        self.is_async = any(inspect.iscoroutinefunction(one) for one in (handler, call_of(handler)))
        self.options = JobOptions.of(options)
        self.description = description or (inspect.getdoc(function_of(handler)) or "").partition("\n")[0]
        self.run_options = merged(self.options.run(), DEFAULTS)
        """The options that a worker uses for a job whose call gave none: all of them are set."""
        self.manager: QueueManager[Any] | None = None
        """The manager that it is registered with."""
        self._annotated = annotated(handler, frame) if other is None else other._found

    @cached_property
    def types(self) -> tuple[Any, Any]:
        """The types of the data and of the result.

        Raises:
            InvalidOptions: an annotation that can't be resolved, or a type that msgspec does not know.
        """
        found = self._found
        if isinstance(found, InvalidOptions):
            raise found
        data, result = (sendable(type_, self.where) for type_ in found)
        return data, result

    @property
    def _found(self) -> tuple[Any, ...] | InvalidOptions:
        """Those that were given to it, or to its class, or that its handler is annotated with."""
        for given in (getattr(self, "__orig_class__", None), *getattr(type(self), "__orig_bases__", ())):
            kind = typing.get_origin(given)
            if isinstance(kind, type) and issubclass(kind, Task) and not given.__parameters__:
                return typing.get_args(given)
        return self._annotated

    @cached_property
    def decoder(self) -> msgspec.msgpack.Decoder[D]:
        """Decodes and validates the data."""
        return msgspec.msgpack.Decoder(self.types[0], ext_hook=arrays.unpack)

    @cached_property
    def result_decoder(self) -> msgspec.msgpack.Decoder[R]:
        """Decodes and validates the result."""
        return msgspec.msgpack.Decoder(self.types[1], ext_hook=arrays.take)

    @property
    def schedule(self) -> Schedule | None:
        """Its schedule, called like the task unless it has an id. None if it does not repeat."""
        options = self.options
        if options.repeat is UNSET:
            return None
        id = f"{self.queue}:{self.name}" if options.id is UNSET else options.id
        priority = "0" if options.priority is UNSET else str(options.priority)
        return Schedule(id, self.queue, self.name, options.repeat, priority)

    def check_schedule(self, others: Iterable[Task[Any, Any]]) -> None:
        """Refuses with `InvalidOptions` to repeat what can't run without data, or is to run later than its schedule
        says, or under the id of another schedule."""
        if (schedule := self.schedule) is None:
            return
        for name in ("delay", "delay_until"):
            if getattr(self.options, name) is not UNSET:
                raise InvalidOptions(
                    f"{self!r} repeats, and has {name}: its schedule says when it runs; leave {name} out"
                )
        self.check_repeated(NIL)
        for other in others:
            if (theirs := other.schedule) is not None and theirs.id == schedule.id:
                raise InvalidOptions(f"{self!r} repeats as {schedule.id!r}, and so does {other!r}; give each an id")

    def check_repeated(self, data: bytes | msgspec.Raw) -> None:
        """Refuses to repeat jobs with data that its handler does not take: each of them would fail.

        Raises `InvalidOptions` if there are no data, else `InvalidPayload`.
        """
        try:
            self.decoder.decode(data)
        except msgspec.MsgspecError as error:
            if bytes(data) != bytes(NIL):
                raise InvalidPayload(f"{self!r} repeats, and its handler does not take these data: {error}") from None
            raise InvalidOptions(
                f"{self!r} repeats, so its jobs come without data, which its handler does not take; annotate it with "
                "Job[None], or give data and repeat to enqueue"
            ) from None

    def tries_again(self, kind: type[BaseException]) -> bool:
        """Whether a try that ended with this type of error is followed by another, if attempts are left."""
        if self.options.fail_on is not UNSET and issubclass(kind, self.options.fail_on):
            return False
        return self.options.retry_on is UNSET or issubclass(kind, self.options.retry_on)

    def enqueue(self, data: D = LEFT_OUT, **options: Unpack[CallFields]) -> JobHandle[R]:
        """Adds a job of this task: `QueueManager.enqueue`, typed. Raises what that does."""
        return self._registered()._producer.enqueue(self.queue, self.name, data, options or None)

    async def aenqueue(self, data: D = LEFT_OUT, **options: Unpack[CallFields]) -> JobHandle[R]:
        """`enqueue`, to be awaited."""
        manager = self._registered()
        return await manager._client.apart(manager._producer.enqueue, self.queue, self.name, data, options or None)

    def enqueue_many(self, data: Iterable[D], **options: Unpack[CallFields]) -> JobHandles[R]:
        """Adds a job of this task for each of these, by the thousand: `QueueManager.enqueue_many`, typed. Raises what
        that does."""
        about: dict[str, Any] = {"name": self.name, "queue": self.queue}
        if options:
            about["options"] = options
        return self._registered()._producer.enqueue_many({**about, "data": one} for one in data)

    async def aenqueue_many(self, data: Iterable[D], **options: Unpack[CallFields]) -> JobHandles[R]:
        """`enqueue_many`, to be awaited; `data` is gone through in another thread."""
        return await self._registered()._client.apart(lambda: self.enqueue_many(data, **options))

    @overload
    def map(
        self,
        inputs: Iterable[D],
        *,
        ordered: bool = False,
        in_flight: int | None = None,
        on_error: Literal["raise"] = "raise",
    ) -> Generator[R, None, None]: ...
    @overload
    def map(
        self,
        inputs: Iterable[D],
        *,
        ordered: bool = False,
        in_flight: int | None = None,
        on_error: Literal["yield"],
    ) -> Generator[R | TempoTaskError, None, None]: ...
    def map(
        self, inputs: Iterable[D], *, ordered: bool = False, in_flight: int | None = None, on_error: str = "raise"
    ) -> Generator[Any, None, None]:
        """The results of a job for each of the inputs, as they finish, or with `ordered` in the order of the inputs.

        Lazy on both sides: an input is read when there is room for it, and nothing begins before the first result is
        asked for. `in_flight`: inputs at most that are read and whose results are not yielded; if left out, some
        thousands, fewer if they are large. Inputs that are no collection are read in a thread of their own, since that
        may take time. `on_error`: "raise" the first error, or "yield" errors (`JobFailed` and the like) in the place of
        results. When the generator ends early, closed or by an error, what has not started is cancelled. All but
        `InvalidOptions` is raised when results are asked for: also what reading the inputs raises, and what
        `JobHandle.result` does, unless errors are yielded.

        Raises:
            InvalidOptions: what makes no sense.
            InvalidPayload: an input that can't be sent, unless errors are yielded.
            ServerUnavailable, ServerFull: the server does not take the inputs.
        """
        return self._flow(inputs, ordered=ordered, in_flight=in_flight).results(on_error)

    @overload
    def amap(
        self,
        inputs: Iterable[D] | AsyncIterable[D],
        *,
        ordered: bool = False,
        in_flight: int | None = None,
        on_error: Literal["raise"] = "raise",
    ) -> AsyncGenerator[R, None]: ...
    @overload
    def amap(
        self,
        inputs: Iterable[D] | AsyncIterable[D],
        *,
        ordered: bool = False,
        in_flight: int | None = None,
        on_error: Literal["yield"],
    ) -> AsyncGenerator[R | TempoTaskError, None]: ...
    def amap(
        self,
        inputs: Iterable[D] | AsyncIterable[D],
        *,
        ordered: bool = False,
        in_flight: int | None = None,
        on_error: str = "raise",
    ) -> AsyncGenerator[Any, None]:
        """`map`, for `async for`; the inputs may be an async iterable, which is read in the event loop."""
        return self._flow(inputs, ordered=ordered, in_flight=in_flight).aresults(on_error)

    def _flow(self, inputs: Iterable[D] | AsyncIterable[D], *, ordered: bool, in_flight: int | None) -> Flow:
        producer = self._registered()._producer
        return Flow(producer, self.queue, self.name, inputs, ordered=ordered, in_flight=in_flight)

    def __call__(self, job: Job[D], ctx: Context[Any] | None) -> R | Awaitable[R]:
        """Calls the handler, here and now: for tests, and for handlers that share work. A handler that needs no context
        may get None."""
        returned: R | Awaitable[R] = self.handler(job, ctx)
        return returned

    if not TYPE_CHECKING:  # to type checkers, every name would be one of ours

        def __getattr__(self, name: str) -> Any:
            if name in _ELSEWHERE:
                raise AttributeError(
                    f"a task has no {name!r}; {self.name}.enqueue(data, priority=…, delay=…) adds a job"
                )
            # Raises what there is to say, of a property too.
            return object.__getattribute__(self, name)

    def __repr__(self) -> str:
        return f"<Task {self.name!r} of queue {self.queue!r}, declared at {self.where}>"

    def _registered(self) -> QueueManager[Any]:
        if self.manager is None:
            raise InvalidOptions(f"task {self.name!r} belongs to no manager yet; register_job(task) comes first")
        return self.manager


def _checked(handler: Any, where: str) -> Any:
    name = getattr(handler, "__qualname__", repr(handler))
    if not callable(handler):
        raise InvalidOptions(f"the handler at {where} is {handler!r}; give a function that takes (job, ctx)")
    if inspect.isgeneratorfunction(handler) or inspect.isasyncgenfunction(handler):
        raise InvalidOptions(f"the handler {name} at {where} is a generator; give a function that returns its result")
    # Of what is called, and not of what that may be wrapped around: a decorator may well add an argument.
    if (signature := signature_against(handler, 2, follow_wrapped=False)) is not None:
        raise InvalidOptions(
            f"the handler {name} at {where} takes {signature}; it must take two positional arguments: (job, ctx)"
        )
    return handler


def declaring_frame() -> FrameType:
    """The frame of the program that declares a task or makes a manager: the first outside of here and of `typing`."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        module = frame.f_globals.get("__name__", "")
        if module != "typing" and module.partition(".")[0] != "tempotask":
            break
        frame = frame.f_back
    return frame
