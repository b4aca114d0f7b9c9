"""Which inputs an output answers, as a command that goes on with it reads there."""

from __future__ import annotations

import zlib
from array import array
from typing import NoReturn

import click
import msgspec

from tempotask.cli.mapping.target import Target

ROW = b'{"index":'
"""What every row begins with, also one of a failed input."""


class _Written(msgspec.Struct):
    """A row, as far as it matters."""

    index: int
    input: msgspec.Raw


class Answered:
    """Which inputs the output answers already, with a checksum of each: 4 bytes an input."""

    def __init__(self) -> None:
        self._sums = array("I")
        """By index; 0 for those that are not answered."""
        self.beyond = 0
        """The first index behind all of them."""

    def __contains__(self, index: int) -> bool:
        return index < len(self._sums) and self._sums[index] != 0

    def same(self, index: int, shown: bytes) -> bool:
        """Whether that answer was to this input, given as JSON."""
        return self._sums[index] == _checksum(shown)

    def add(self, index: int, shown: bytes) -> bool:
        """Notes an answer; False if there is one to that index already."""
        if index >= len(self._sums):
            self._sums.frombytes(bytes(self._sums.itemsize * (max(index + 1, 2 * len(self._sums)) - len(self._sums))))
        if self._sums[index]:
            return False
        self._sums[index] = _checksum(shown)
        self.beyond = max(self.beyond, index + 1)
        return True


def insist_on_rows(target: Target) -> None:
    """Raises `click.UsageError` for a file that can't be what a map has written, by what it begins with."""
    beginning = next(iter(target.blocks()), b"")
    kept = beginning.partition(b"\0")[0][: len(ROW)]
    # Of a file whose beginning the disk did not keep, nothing but zeros is left.
    if not ROW.startswith(kept) or (not kept and beginning.strip(b"\0")):
        _refuse(target, "line 1 is no row of a map, nor the beginning of one")


def answered(target: Target) -> Answered:
    """Reads what a killed command has written, and cuts off what it has not written to the end: a row without its end,
    or what the disk did not keep when the power went. Raises `click.UsageError` for a file that is no output."""
    insist_on_rows(target)
    found, decode, size, number, rest = Answered(), msgspec.json.Decoder(_Written).decode, 0, 0, b""
    for block in target.blocks():
        *whole, rest = (rest + block).split(b"\n")
        for line in whole:
            number += 1
            if b"\0" in line:
                _cut_off(target, size, number, line)
                return found
            try:
                row = decode(line)
                index, shown = row.index, bytes(row.input)
            except (msgspec.DecodeError, UnicodeError):
                index, shown = _with_broken_text(line)
            if index < 0:
                _refuse(target, f"line {number} is no row of a map")
            try:
                new = found.add(index, shown)
            except (MemoryError, OverflowError):
                _refuse(target, f"line {number} answers input {index}, and nobody has so many")
            if not new:
                _refuse(target, f"line {number} answers input {index} once more")
            size += len(line) + 1
    if rest:
        _cut_off(target, size, number + 1, rest)
    return found


def _cut_off(target: Target, size: int, number: int, line: bytes) -> None:
    """Cuts off what begins as a row does, or is not there."""
    if not ROW.startswith(line.partition(b"\0")[0][: len(ROW)]):
        _refuse(target, f"line {number} is no row of a map, nor the beginning of one")
    target.cut(size)


def _with_broken_text(line: bytes) -> tuple[int, bytes]:
    """Index and input of a row with text that is no Unicode, which only Python's own reader takes; -1 for what is
    none."""
    import json

    try:
        told = json.loads(line)
        index, rest = told["index"], line.partition(b',"input":')[2].decode()
        # As it stands there, which is not how it would be written anew.
        _, end = json.JSONDecoder().raw_decode(rest)
        return (index if type(index) is int else -1), rest[:end].encode()
    except (ValueError, KeyError, TypeError, RecursionError):
        return -1, b""


def _refuse(target: Target, why: str) -> NoReturn:
    raise click.UsageError(f"--resume goes on with what a map has written, and {target.name} is something else: {why}")


def _checksum(shown: bytes) -> int:
    return zlib.crc32(shown) or 1
