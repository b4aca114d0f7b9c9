"""The user's plain function: found, checked, and called with inputs of the type that it is annotated with."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import typing
from collections.abc import Callable
from pathlib import Path, PurePath
from types import SimpleNamespace
from typing import Any

import msgspec
from msgspec import Raw

from tempotask.annotations import signature_against
from tempotask.cli.mapping import rows
from tempotask.errors import InvalidPayload
from tempotask.names import nearest
from tempotask.pool import application
from tempotask.pool.application import LoadError
from tempotask.task import Task

HOW = "give a function that takes one input, as in mypkg.analysis:complexity"
_RECORDS = (
    msgspec.inspect.StructType,
    msgspec.inspect.DataclassType,
    msgspec.inspect.TypedDictType,
    msgspec.inspect.NamedTupleType,
    msgspec.inspect.DictType,
    msgspec.inspect.CollectionType,
    msgspec.inspect.TupleType,
)
"""What a line of text can't be."""


class Function:
    """Calls the function with an input, and writes the row of what it returns."""

    def __init__(self, spelt: str, *, jsonl: bool, bare: bool) -> None:
        self.call = _found(spelt)
        self.is_async = any(map(inspect.iscoroutinefunction, (self.call, vars(type(self.call)).get("__call__"))))
        self._bare = bare
        self._jsonl = jsonl
        self._take = _taker(_annotated(self.call, spelt), spelt, jsonl=jsonl)

    def begin(self, index: int, line: bytes) -> Any:
        """What the function returns; what is to be awaited, if it is an `async def`."""
        return self.call(self._take(line))

    def row(self, index: int, line: bytes, value: Any) -> bytes:
        """The row of a result. Raises `InvalidPayload` for one that can't be JSON."""
        if self._bare:
            return rows.encode(value) + b"\n"
        return rows.row(index, Raw(rows.on_one_line(line)) if self._jsonl else rows.text_of(line), value)

    def more(self, error: BaseException) -> dict[str, Any]:
        """What a failure has to tell beside its text."""
        return {}


def _found(spelt: str) -> Callable[..., Any]:
    target, _, attribute = spelt.rpartition(":")
    if not target or not attribute:
        raise LoadError(f'"{spelt}" names no function: write module:function or script.py:function')
    found: Any = application.imported(target)
    for name in attribute.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            near = nearest(name, [known for known in dir(found) if not known.startswith("_")])
            raise LoadError(
                f'"{target}" has no attribute "{attribute}"' + (f"; did you mean {near}?" if near else f"; {HOW}")
            ) from None
    if isinstance(found, Task):
        raise LoadError(f"{spelt} is a task, whose handler takes (job, ctx); {HOW}")
    if not callable(found):
        raise LoadError(f"{spelt} is of type {type(found).__name__} and can't be called; {HOW}")
    if inspect.isgeneratorfunction(found) or inspect.isasyncgenfunction(found):
        raise LoadError(f"{spelt} is a generator; {HOW}, and returns its result")
    if (signature := signature_against(found, 1)) is not None:
        raise LoadError(f"{spelt} takes {signature}; {HOW}")
    return typing.cast("Callable[..., Any]", found)


def _annotated(call: Callable[..., Any], spelt: str) -> Any:
    """The type of the first parameter; `Any` if nothing is said."""
    of_a_class = isinstance(call, type)
    function: Any = vars(call).get("__init__", call) if of_a_class else inspect.unwrap(call)
    if not of_a_class and not inspect.isroutine(function):
        function = vars(type(call)).get("__call__", call)
    annotations = getattr(function, "__annotations__", {})
    try:
        name = next(iter(inspect.signature(call).parameters), "")
    except (TypeError, ValueError):
        return Any
    if name not in annotations:
        return Any
    wanted = SimpleNamespace(__annotations__={name: annotations[name]})
    try:
        return typing.get_type_hints(wanted, getattr(function, "__globals__", {}))[name]
    except Exception as error:
        raise LoadError(f"the annotation of {name} in {spelt} can't be resolved: {error}") from None


def _taker(type_: Any, spelt: str, *, jsonl: bool) -> Callable[[bytes], Any]:
    """Makes of a line what the function takes. It raises `InvalidPayload` for a line that does not fit."""
    if jsonl:
        return _fitting(_decoder(type_, spelt).decode, jsonl=True)
    if type_ in (Any, str, object):
        return rows.text_of
    if type_ is bytes:
        return bytes
    if isinstance(type_, type) and issubclass(type_, PurePath):
        return lambda line: type_(rows.text_of(line))
    if type_ in (int, float):
        return _number(type_)
    _decoder(type_, spelt)
    if isinstance(msgspec.inspect.type_info(type_), _RECORDS) or dataclasses.is_dataclass(type_):
        shown = getattr(type_, "__qualname__", type_)
        raise LoadError(f"{spelt} takes {shown}, which a line of text can't be; give lines of JSON, and --jsonl")
    return _fitting(lambda line: msgspec.convert(rows.text_of(line), type_, strict=False, dec_hook=_path))


def _number(type_: type[int] | type[float]) -> Callable[[bytes], Any]:
    """Makes numbers of lines, as Python does (`007`) and as JSON does (`1e2` is an `int`)."""

    def number(line: bytes) -> Any:
        text = rows.text_of(line)
        with contextlib.suppress(ValueError):
            return type_(text)
        try:
            return msgspec.convert(text, type_, strict=False)
        except (msgspec.MsgspecError, UnicodeError):
            raise InvalidPayload(f"the input does not fit: it is no {type_.__name__}") from None

    return number


def _decoder(type_: Any, spelt: str) -> msgspec.json.Decoder[Any]:
    try:
        decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Any if type_ is object else type_, dec_hook=_path)
    except TypeError as error:
        raise LoadError(f"the input of {spelt}: {' '.join(str(error).split())}") from None
    return decoder


def _path(type_: type, value: Any) -> Any:
    if type_ in (Path, PurePath) and isinstance(value, str):
        return type_(value)
    raise NotImplementedError(f"{type_.__qualname__} is no type that an input can have")


def _fitting(decode: Callable[[bytes], Any], *, jsonl: bool = False) -> Callable[[bytes], Any]:
    def take(line: bytes) -> Any:
        try:
            return decode(line)
        except (msgspec.MsgspecError, NotImplementedError, UnicodeError, RecursionError) as error:
            # Of a line that is no JSON at all it may be the type that was missed first.
            wrong = _no_json(line) if jsonl else None
            why = f"the input does not fit: {error}" if wrong is None else f"the line is no JSON: {wrong}"
            raise InvalidPayload(why) from None

    return take


def _no_json(line: bytes) -> str | None:
    try:
        msgspec.json.decode(line)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        return str(error)
    return None
