"""The Lua scripts, as files and as the server knows them.

What several scripts share stands in `base.lua`, which is put in front of each when it is loaded, and in the files that
a script names in a line `-- include: queues endings`, which are put in place of that line. A script names no more than
it needs, and no earlier: the server makes the functions of a script anew at each call, when it comes to them. First
come the numbers that scripts share with Python.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
from collections.abc import Iterable, Iterator
from importlib.resources import files
from typing import NamedTuple, TypeVar

from tempotask.store import numbers

T = TypeVar("T")
Argument = str | bytes | int | float

_FOLDER = files("tempotask.store") / "scripts"
_INCLUDE = "-- include:"
_NUMBERS = "\n".join(f"local {name} = {value}" for name, value in vars(numbers).items() if name.isupper())


class Script(NamedTuple):
    """A script as the server knows it."""

    sha: str
    text: str


def load(name: str) -> Script:
    """Reads a script with what it includes. Its first line, which tells the server how to run it, stays first."""
    first, *rest = _read(name).split("\n")
    lines = [first, _NUMBERS, _read("base")]
    for line in rest:
        lines += map(_read, line.removeprefix(_INCLUDE).split()) if line.startswith(_INCLUDE) else [line]
    text = "\n".join(lines)
    return Script(hashlib.sha1(text.encode()).hexdigest(), text)


@functools.cache
def _read(name: str) -> str:
    return (_FOLDER / f"{name}.lua").read_text()


def _names() -> Iterator[str]:
    """Of the files that are scripts; what is included has no first line of theirs."""
    names = sorted(file.name.removesuffix(".lua") for file in _FOLDER.iterdir() if file.name.endswith(".lua"))
    return (name for name in names if _read(name).startswith("#!lua"))


SCRIPTS = {name: load(name) for name in _names()}


def chunked(items: Iterable[T], size: int = numbers.CHUNK) -> Iterator[list[T]]:
    """These by the thousand, as calls take them, or by another size."""
    rest = iter(items)
    while chunk := list(itertools.islice(rest, size)):
        yield chunk
