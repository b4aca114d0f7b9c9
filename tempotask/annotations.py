"""Annotations: the types that a handler's parameters and its result are annotated with, as far as they can be sent."""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import typing
from collections.abc import Awaitable, Coroutine, Iterator, Mapping
from pathlib import PurePath
from types import FrameType, SimpleNamespace, UnionType
from typing import Any, TypeVar

import msgspec

from tempotask import arrays
from tempotask.errors import InvalidOptions
from tempotask.job import Context, Job


def call_of(handler: Any) -> Any:
    """What runs when an object is called that is no function."""
    return getattr(type(handler), "__call__", None)  # noqa: B004 - wanted is the function, and not whether there is one


def function_of(handler: Any) -> Any:
    """What a handler was made of, by decorators and `functools.partial`."""
    function = inspect.unwrap(handler)
    while isinstance(function, functools.partial):
        function = inspect.unwrap(function.func)
    return function


def signature_against(function: Any, arguments: int, *, follow_wrapped: bool = True) -> inspect.Signature | None:
    """The signature of what can't be called with so many arguments; None if it can, or tells nothing, as some functions
    written in C do: calling will show."""
    try:
        signature = inspect.signature(function, follow_wrapped=follow_wrapped)
    except (TypeError, ValueError):
        return None
    try:
        signature.bind(*[None] * arguments)
    except TypeError:
        return signature
    return None


def place_of(frame: FrameType) -> str:
    """Where a task is declared, `file:line`; the file from the working directory, if it is in that."""
    path = frame.f_code.co_filename
    with contextlib.suppress(OSError):  # the working directory is gone
        inside = os.path.relpath(path)
        path = path if inside.startswith("..") else inside
    return f"{path}:{frame.f_lineno}"


def annotated(handler: Any, frame: FrameType) -> tuple[Any, Any] | InvalidOptions:
    """The types that the handler's annotations give; an error, to be raised when they are needed, if they give none.

    Only these two annotations are resolved: others may well name things that exist for type checkers only. Names are
    looked up in the handler's module, and then where the task is declared, since a type may be local to a function; if
    the handler is so too, there first.
    """
    function = function_of(handler)
    if not hasattr(function, "__globals__") and not inspect.ismethod(function):
        function = call_of(function) or function
    annotations = getattr(function, "__annotations__", None) or {}
    name = _name_of_job(handler, annotations) if annotations else ""
    wanted = {name: annotations[name] for name in (name, "return") if name in annotations}
    function = inspect.unwrap(function)
    outside = {"Job": Job, "Context": Context, **getattr(function, "__globals__", {})}
    local = outside.get("__name__") == frame.f_globals.get("__name__") and "<locals>" in getattr(
        function, "__qualname__", ""
    )
    known = outside | frame.f_locals if local else frame.f_locals | outside
    try:
        named = SimpleNamespace(__annotations__=wanted)
        hints = typing.get_type_hints(named, known, include_extras=True)
    except Exception as error:
        return InvalidOptions(
            f"an annotation of the handler declared at {place_of(frame)} can't be resolved "
            f"({error}); define or import that type in the module itself, or declare Task[Data, Result](…)"
        )
    job = _job_of(hints.get(name))
    if (typing.get_origin(job) or job) is Context:
        raise InvalidOptions(
            f"the handler declared at {place_of(frame)} takes the context first; it must take (job, ctx), in this order"
        )
    data = typing.get_args(job)[0] if typing.get_origin(job) is Job else Any
    result = hints.get("return", Any)
    if (typing.get_origin(result) or result) in (Awaitable, Coroutine):
        # Of a function that returns what is awaited.
        result = (typing.get_args(result) or (Any,))[-1]
    return data, result


def _name_of_job(handler: Any, annotations: Mapping[str, Any]) -> str:
    """What the parameter is called that takes the job. What a decorator takes and what it passes on may differ."""
    called = next(iter(inspect.signature(handler, follow_wrapped=False).parameters), "")
    return called if called in annotations else next(iter(inspect.signature(handler).parameters), "")


def _job_of(annotation: Any) -> Any:
    """What the first parameter is annotated with; of a choice, as in `Job[int] | None`, the job."""
    bare = _bare(annotation)
    choices = typing.get_args(bare) if typing.get_origin(bare) in (typing.Union, UnionType) else ()
    return next((choice for choice in map(_bare, choices) if (typing.get_origin(choice) or choice) is Job), bare)


def _bare(annotation: Any) -> Any:
    """A type without what `Annotated` adds to it."""
    return typing.get_args(annotation)[0] if typing.get_origin(annotation) is typing.Annotated else annotation


def sendable(type_: Any, where: str) -> Any:
    """A type that msgspec can decode to; whatever says nothing becomes `Any`."""
    bare = _bare(type_)
    if isinstance(bare, TypeVar) or bare in (object, typing.Never, typing.NoReturn, inspect.Parameter.empty):
        return Any
    try:
        strange = next(_strange(msgspec.inspect.type_info(type_)), None)
    except Exception as error:
        # A field of it may well name what can't be found.
        raise InvalidOptions(f"the task declared at {where}: {error}") from None
    if strange is not None:
        instead = "make it a msgspec.Struct or a dataclass, or annotate plain data"
        if isinstance(strange, type) and issubclass(strange, PurePath):
            instead = "annotate str, and send str(path)"
        name = getattr(strange, "__qualname__", strange)
        raise InvalidOptions(f"the task declared at {where}: {name} is no type that can be sent; {instead}")
    return type_


def _strange(info: msgspec.inspect.Type) -> Iterator[Any]:
    """Types that can't be sent, in a type and in what collections hold."""
    if isinstance(info, msgspec.inspect.CustomType) and not arrays.is_array_type(info.cls):
        yield info.cls
    held = (getattr(info, name, None) for name in ("item_type", "key_type", "value_type"))
    for part in (*held, *getattr(info, "item_types", ())):
        if part is not None and not _says_nothing(part):
            yield from _strange(part)


def _says_nothing(info: msgspec.inspect.Type) -> bool:
    """Whether a type is one that plain data may be of: `object`, a protocol, an abstract class."""
    kind = getattr(info, "cls", None)
    return kind is object or getattr(kind, "_is_protocol", False) or inspect.isabstract(kind)
