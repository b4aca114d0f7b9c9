"""Rows: the lines of JSON that a map writes, of results and of failures."""

from __future__ import annotations

import json
import math
import sys
from pathlib import PurePath
from typing import Any

import msgspec
from msgspec import Raw

from tempotask import payload
from tempotask.store.records import Failure

UNENCODABLE = (*payload.UNENCODABLE, UnicodeError)


def _plain(value: Any) -> Any:
    """Of what JSON does not know: paths as text, arrays of numpy as lists, and its single numbers as numbers."""
    if isinstance(value, PurePath):
        return str(value)
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.ndarray | numpy.generic):
        plain = value.tolist()
        # Those that Python has none of stay what they are.
        if not isinstance(plain, numpy.generic):
            return plain
    raise TypeError(f"no JSON is made of {type(value)}")


def _finite(value: Any) -> Any:
    """Plain data with null for the numbers that JSON has none of."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return {key: _finite(part) for key, part in value.items()} if isinstance(value, dict) else value


_encode = msgspec.json.Encoder(enc_hook=_plain).encode


class Row(msgspec.Struct):
    """The answer to one input."""

    index: int
    input: Any
    result: Any


def text_of(line: bytes) -> str:
    """An input as a function gets it. What is no UTF-8, as names of files may be, is taken as `os.fsdecode` does."""
    return line.decode("utf-8", "surrogateescape")


def encode(value: Any) -> bytes:
    """A value as one line of JSON.

    Raises:
        InvalidPayload: with the path of the part that can't be JSON.
    """
    try:
        return _encode(value)
    except UNENCODABLE as error:
        try:
            # Text that is no Unicode is escaped, and other programs that read JSON may make of it what they can.
            return json.dumps(_finite(msgspec.to_builtins(value, str_keys=True, enc_hook=_plain))).encode()
        except UNENCODABLE:
            raise payload.refusal(value, error, "result") from None


def input_of(line: bytes, *, jsonl: bool) -> bytes:
    """An input as it stands in a row: as JSON, which it is with `jsonl` unless it is broken."""
    if jsonl:
        try:
            msgspec.json.decode(line, type=Raw)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            pass
        else:
            return on_one_line(line)
    return encode(text_of(line))


def on_one_line(line: bytes) -> bytes:
    """JSON without what may stand around it and, between NULs, also within."""
    return msgspec.json.format(line, indent=-1) if b"\n" in line else line.strip()


def row(index: int, text: Any, value: Any) -> bytes:
    """The row of a result."""
    try:
        return _encode(Row(index, text, value)) + b"\n"
    except UNENCODABLE:
        shown = bytes(text) if isinstance(text, Raw) else encode(text)
        return b'{"index":%d,"input":%b,"result":%b}\n' % (index, shown, encode(value))


def failure_row(index: int, shown: bytes, failure: Failure, more: dict[str, Any] | None = None) -> bytes:
    """The row of an input that failed; `shown` is the input as JSON, `more` what a command brings beside its error."""
    error = f"{failure.type}: {failure.message}" if failure.message else failure.type
    told = {"error": error, **(more or {"traceback": failure.traceback})}
    return b'{"index":%d,"input":%b,%b\n' % (index, shown, encode(told)[1:])


class FailedRow(msgspec.Struct):
    """A row of the failed ones, as far as people want to see it."""

    index: int
    input: msgspec.Raw
    error: str


def short(row: bytes) -> str:
    """A failed input in one line."""
    try:
        told = msgspec.json.decode(row, type=FailedRow)
    except (msgspec.DecodeError, UnicodeError):
        return _short_of_odd(row)
    return _line(told.index, bytes(told.input).decode(errors="replace"), told.error)


def _short_of_odd(row: bytes) -> str:
    """The same of a row with what is no UTF-8 in it, as a name of a file may be: the standard library bears that."""
    try:
        told = json.loads(row.decode(errors="replace"))
        return _line(told["index"], json.dumps(told["input"]), str(told["error"]))
    except (ValueError, KeyError, TypeError):
        return row.decode(errors="replace").strip()


def _line(index: int, shown: str, error: str) -> str:
    return f"input {index} {shown if len(shown) <= 80 else shown[:60] + '…'}: {' '.join(error.split())}"
