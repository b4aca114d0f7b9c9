"""What commands print: tables on a terminal, aligned plain text elsewhere, or one JSON object a line for programs."""

from __future__ import annotations

import codecs
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Literal

import click
import msgspec

SHORT = 60
"""Characters of a value in a table on a terminal."""
LAST = 20
"""Characters that the last column of a table has at least."""


def print_json(value: Any) -> None:
    """One line. Bytes are base64; times are the caller's business."""
    try:
        line = msgspec.json.encode(value, enc_hook=str)
    except (TypeError, ValueError, msgspec.MsgspecError):
        # Data can be more than JSON: keys that are no text, say.
        line = msgspec.json.encode(_simple(value), enc_hook=str)
    _write(_ascii(line.decode()) if _encoding() != "utf-8" else line.decode())


def _ascii(line: str) -> str:
    """The same JSON without what the standard output may not be able to say."""
    return re.sub(r"[^\x00-\x7f]+", lambda match: json.dumps(match[0])[1:-1], line)


def tell(value: Any) -> None:
    """One line of JSON beside what was asked for, on the standard error."""
    click.echo(msgspec.json.encode(value), err=True)


def _simple(value: Any) -> Any:
    """The same with keys of text only."""
    if isinstance(value, msgspec.Struct):
        return _simple(msgspec.structs.asdict(value))
    if isinstance(value, Mapping):
        return {key if isinstance(key, str) else repr(key): _simple(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_simple(part) for part in value]
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    return value


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], numbers: Sequence[str] = (), spare: Sequence[str] = ()
) -> None:
    """A table; the columns named in `numbers` are put to the right. A terminal that has no room for all is not shown
    those that can be spared, the first named first."""
    texts = [[text(value) for value in row] for row in rows]
    if sys.stdout.isatty():
        _print_rich(columns, [list(map(_shortened, row)) for row in texts], numbers, spare)
        return
    widths = [max(map(len, column)) for column in zip(columns, *texts, strict=True)]
    for row in (columns, *texts):
        cells = [
            cell.rjust(width) if column in numbers else cell.ljust(width)
            for column, cell, width in zip(columns, row, widths, strict=True)
        ]
        _write("  ".join(cells).rstrip())


def _shortened(cell: str) -> str:
    return cell if len(cell) <= SHORT else f"{cell[: SHORT - 1]}…"


def _print_rich(columns: Sequence[str], texts: list[list[str]], numbers: Sequence[str], spare: Sequence[str]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console, last = Console(), columns[-1]
    widths = {column: max(map(cell_len, cells)) for column, *cells in zip(columns, columns, *texts, strict=True)}
    # It may go on in the next line.
    widths[last] = min(widths[last], LAST)
    shown = list(columns)

    def fit(apart: int) -> bool:
        return sum(widths[one] for one in shown) + apart * (len(shown) - 1) <= console.width

    for column in spare:
        if not fit(apart=1):
            shown.remove(column)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1 if fit(apart=3) else 0))
    for column in shown:
        side: Literal["left", "right"] = "right" if column in numbers else "left"
        table.add_column(column, justify=side, overflow="fold", min_width=widths[column] if fit(apart=1) else None)
    for row in texts:
        table.add_row(*(Text(cell) for column, cell in zip(columns, row, strict=True) if column in shown))
    with reader_may_leave():
        console.print(table)


def print_fields(fields: Mapping[str, Any]) -> None:
    """Names and values, one a line; lines of a longer text are put under its name."""
    width = max(map(len, fields))
    for name, value in fields.items():
        if isinstance(value, str) and "\n" in value.strip():
            _write(name)
            for line in value.strip().splitlines():
                _write(f"    {visible(line)}".rstrip())
        else:
            _write(f"{name.ljust(width)}  {text(value)}".rstrip())


def print_line(line: str) -> None:
    """A line of text, as people read it."""
    _write(text(line))


def text(value: Any) -> str:
    """A value as one line without tabs; nothing for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    if not isinstance(value, str):
        value = repr(value)
    return visible(" ".join(value.split()))


def brief(number: float | None) -> str:
    """Seconds, or how far something is, to a thousandth; three digits of less than that. Nothing for None."""
    if number is None:
        return ""
    return f"{number:.3f}".rstrip("0").rstrip(".") if abs(number) >= 0.001 or not number else f"{number:.3g}"


def visible(line: str) -> str:
    """The same without what a terminal would obey instead of showing."""
    return "".join(letter if letter.isprintable() else "�" for letter in line.expandtabs(4))


def progress(done: float, total: float | None, note: str | None) -> str:
    """How far a job says it is."""
    parts = (brief(done), "" if total is None else f"of {brief(total)}", text(note))
    return " ".join(part for part in parts if part)


def flush() -> None:
    """Has what was printed seen at once, by whoever reads it."""
    with reader_may_leave():
        sys.stdout.flush()


def moment(seconds: float | None) -> str | None:
    """Unix seconds as people here read them."""
    if seconds is None:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        # Of no year that there is: hostile, or damaged.
        return f"{seconds:g}"


def _encoding() -> str:
    """Of the standard output."""
    return codecs.lookup(sys.stdout.encoding or "utf-8").name


def _write(line: str) -> None:
    encoding = _encoding()
    with reader_may_leave():
        # What it can't say is spelt out: two ids must not look the same.
        sys.stdout.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")


@contextmanager
def reader_may_leave() -> Iterator[None]:
    """Ends quietly and well when whoever reads what we print, `head` say, has read enough; with status 2 and a line
    when it can't be written, to a full disk say."""
    try:
        yield
    except OSError as error:
        # Nothing more can be written, at exit neither.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            sys.exit(0)
        click.echo(f"tempotask: the output can't be written: {error.strerror}", err=True)
        sys.exit(2)
