"""Declaring: from handlers and fields to registered tasks."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast, overload

from tempotask.errors import InvalidOptions
from tempotask.job import Context, Job
from tempotask.options import JobOptions
from tempotask.task import Task

if TYPE_CHECKING:
    from tempotask.manager import QueueManager

A = TypeVar("A")
D = TypeVar("D")
R = TypeVar("R")

Handler = Callable[[Job[D], Context[A]], R]
AsyncHandler = Callable[[Job[D], Context[A]], Coroutine[Any, Any, R]]


class Declaration(Generic[A]):
    """What `QueueManager.task` returns: a decorator that makes a handler a task."""

    def __init__(
        self, manager: QueueManager[A], queue: str, name: str | None, description: str, options: JobOptions
    ) -> None:
        self._manager = manager
        self._queue = queue
        self._name = name
        self._description = description
        self._options = options

    @overload
    def __call__(self, handler: AsyncHandler[D, A, R], /) -> Task[D, R]: ...
    @overload
    def __call__(self, handler: Handler[D, A, R], /) -> Task[D, R]: ...
    def __call__(self, handler: Callable[..., Any], /) -> Task[Any, Any]:
        name = getattr(handler, "__name__", "<none>") if self._name is None else self._name
        if self._name is None and callable(handler) and name.startswith("<"):
            raise InvalidOptions(f"the handler {handler!r} has no name of its own; give the task one with name=…")
        task: Task[Any, Any] = Task(
            name=name,
            queue=self._queue,
            handler=handler,
            options=self._options,
            description=self._description,
        )
        return self._manager.register_job(task)


def check_fields(fields: Mapping[str, Any]) -> None:
    """Refuses fields that `register_job` does not take, and asks for those that it needs."""
    known = dict.fromkeys(("name", "queue", "handler", "options", "description"))
    for name in fields:
        if name not in known:
            raise InvalidOptions(
                f"register_job takes no {name!r}; it takes {', '.join(known)}; options of the task go into options"
            )
    missing = [name for name in ("name", "queue", "handler") if name not in fields]
    if missing:
        raise InvalidOptions(f"register_job needs {' and '.join(missing)}, or a Task")


def context_factory(ctx: Any) -> Callable[[], Any]:
    """What makes the application's context: classes and functions are called, anything else is as it is."""
    if inspect.iscoroutinefunction(ctx):
        raise InvalidOptions("ctx is an async function; give a plain one, as it is called before any event loop runs")
    is_factory = isinstance(
        ctx, type | types.FunctionType | types.MethodType | types.BuiltinFunctionType | functools.partial
    )
    return cast("Callable[[], Any]", ctx) if is_factory else lambda: ctx
