"""Payloads and results: plain values to MessagePack, or a line that says which part can't go. Arrays: arrays.py."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import PurePath
from typing import Any

import msgspec

from tempotask import arrays
from tempotask.errors import InvalidOptions, InvalidPayload
from tempotask.names import short

to_bytes = msgspec.msgpack.Encoder(enc_hook=arrays.pack).encode
"""The bare encoder, for loops; what it raises is explained by `refusal`, but for `arrays.Large`."""
UNENCODABLE = (
    *(TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError),
    *(BufferError, AttributeError),  # bytes that are not in one piece; a field that is not set
)
"""What `to_bytes` raises."""


def reader(type_: Any, ext_hook: arrays.Hook) -> Callable[[bytes | msgspec.Raw], Any]:
    """What decodes payloads to a type, and validates them. Where none is given (`Any`), times are text, as UUIDs are,
    though MessagePack has a kind of its own for them."""
    decode = msgspec.msgpack.Decoder(type_, ext_hook=ext_hook).decode
    if type_ is not Any:
        return decode

    def plain(encoded: bytes | msgspec.Raw) -> Any:
        value = decode(encoded)
        # Its number is -1. Most payloads have no such byte, and those that do have mostly numbers or bytes.
        return _with_times_as_text(value) if b"\xff" in bytes(encoded) else value

    return plain


def _with_times_as_text(value: Any) -> Any:
    if isinstance(value, datetime):
        return msgspec.to_builtins(value)
    if isinstance(value, list):
        return [_with_times_as_text(part) for part in value]
    if isinstance(value, dict):
        return {_with_times_as_text(key): _with_times_as_text(part) for key, part in value.items()}
    return value


def encode(value: object, limit: int, what: str = "data", sender: arrays.Sender | None = None, job: str = "") -> bytes:
    """`value` as MessagePack of at most `limit` bytes; large arrays go by files of the `sender`, for the `job`.

    Raises:
        InvalidPayload: with the path of the part that can't be encoded, or with the size. `what` begins the path.
        InvalidOptions: $TEMPOTASK_ARRAYS names no folder.
    """
    try:
        encoded = to_bytes(value)
    except arrays.Large as large:
        if sender is None:
            raise InvalidPayload(
                f"{_path_of_large(value, what)} is an array of {large.size:,} bytes; only jobs that are added at once, "
                f"and results, can hold one of {arrays.LARGE:,} bytes or more; save it as a file, and send its name"
            ) from None
        encoded = _by_files(value, what, sender, job)
    except UNENCODABLE as error:
        raise refusal(value, error, what) from None
    if len(encoded) > limit:
        if sender is not None:
            arrays.discard(encoded)
        raise oversize(len(encoded), limit, what)
    return encoded


def _by_files(value: object, what: str, sender: arrays.Sender, job: str) -> bytes:
    try:
        return sender.encode(value, job)
    except InvalidOptions:
        raise
    except UNENCODABLE as error:
        raise refusal(value, error, what) from None


def oversize(size: int, limit: int, what: str = "data") -> InvalidPayload:
    """The error for a value of `size` bytes."""
    return InvalidPayload(
        f"{what} is {size:,} bytes, and at most {limit:,} are taken; "
        "store it elsewhere and send its place, or raise options.max_payload_bytes"
    )


def refusal(value: object, error: Exception, what: str = "data") -> InvalidPayload:
    """The error for a value that msgspec refused with `error`."""
    path, part, error = _culprit(value, what, error, 0)
    if isinstance(error, InvalidPayload | InvalidOptions):
        return InvalidPayload(f"{path}: {error}")
    kind = f"{type(part).__module__}.{type(part).__qualname__}".removeprefix("builtins.")
    if isinstance(error, RecursionError):
        return InvalidPayload(f"{what} contains itself, or is nested too deeply to be sent")
    if isinstance(error, BufferError | AttributeError):
        return InvalidPayload(f"{path} can't be sent: {error}")
    if type(part) is int:
        return InvalidPayload(f"{path} is an int of more than 64 bits; send it as a str")
    if type(part) is str:
        return InvalidPayload(f"{path} is a str that is not valid Unicode; send it as bytes")
    instead = "its text, str(path)" if isinstance(part, PurePath) else "plain data, a Struct or a dataclass"
    return InvalidPayload(f"{path} is of type {kind}, which can't be sent; send {instead}")


def _culprit(value: object, path: str, error: Exception, depth: int) -> tuple[str, object, Exception]:
    """The innermost part that can't be encoded: its path, itself, and what was raised for it."""
    if depth < 100:
        for step, part in _parts(value):
            try:
                to_bytes(part)
            except arrays.Large:
                # Nothing is wrong with that, but something may be behind it.
                found = _culprit(part, path + step, error, depth + 1)
                if found[1] is not part:
                    return found
            except UNENCODABLE as inner:
                return _culprit(part, path + step, inner, depth + 1)
    return path, value, error


def _path_of_large(value: object, path: str) -> str:
    for step, part in _parts(value):
        try:
            to_bytes(part)
        except arrays.Large:
            return _path_of_large(part, path + step)
        except UNENCODABLE:
            continue
    return path


def _parts(value: Any) -> Iterable[tuple[str, object]]:
    if isinstance(value, Mapping):
        for key, part in value.items():
            shown = short(key)
            yield f" (the key {shown})", key
            yield f"[{shown}]", part
    elif isinstance(value, list | tuple):
        for index, part in enumerate(value):
            yield f"[{index}]", part
    elif isinstance(value, set | frozenset):
        for part in value:
            yield " (an element)", part
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield f".{name}", getattr(value, name, None)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield f".{field.name}", getattr(value, field.name, None)
