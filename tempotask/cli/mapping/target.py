"""Where rows go: the standard output, or a file that is the truth about which inputs are answered."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
import zlib
from array import array
from collections.abc import Iterable
from typing import NoReturn

import click
import msgspec

BLOCK = 1024 * 1024
"""Bytes of a file that are read at once."""
SYNC = 5.0
"""Seconds after which what was written is on the disk too."""


class Target:
    """An open file, or the standard output. Each write is of whole rows."""

    def __init__(self, file: int, name: str = "the output") -> None:
        self.name = name
        self._file = file
        state = os.fstat(file)
        self.regular = stat.S_ISREG(state.st_mode)
        self.identity = state.st_dev, state.st_ino
        self.empty = state.st_size == 0
        self._synced = time.monotonic()
        self._dirty = False

    @classmethod
    def open(cls, name: str) -> Target:
        """A file of that name, which nobody else writes to meanwhile. Raises `click.UsageError`."""
        try:
            file = os.open(name, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise click.UsageError(f"{name} can't be written: {error.strerror}") from None
        target = cls(file, name)
        if target.regular:
            try:
                # It goes with the process, however that ends.
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise click.UsageError(f"another command writes to {name} right now; wait for it, or stop it") from None
        return target

    def write(self, parts: Iterable[bytes]) -> None:
        """Writes whole rows, all in one call as a rule. Raises `OSError`."""
        left = memoryview(b"".join(parts))
        while left:
            left = left[os.write(self._file, left) :]
            self._dirty = True

    def sync(self, *, now: bool = False) -> None:
        """Has what was written put on the disk, from time to time or `now`: a power cut takes nothing before it."""
        if self.regular and self._dirty and (now or time.monotonic() > self._synced + SYNC):
            os.fsync(self._file)
            self._synced, self._dirty = time.monotonic(), False

    def cut(self, size: int = 0) -> None:
        """Leaves the first bytes only."""
        os.ftruncate(self._file, size)

    def blocks(self) -> Iterable[bytes]:
        """All that is in it."""
        at = 0
        while block := os.pread(self._file, BLOCK, at):
            yield block
            at += len(block)

    def close(self) -> None:
        """Puts it on the disk and closes it."""
        self.sync(now=True)
        os.close(self._file)


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


def answered(target: Target) -> Answered:
    """Reads what a killed command has written, and cuts off what it has not written to the end: a row without its end,
    or what the disk did not keep when the power went. Raises `click.UsageError` for a file that is no output."""
    found, decode, size, number, rest = Answered(), msgspec.json.Decoder(_Written).decode, 0, 0, b""
    for block in target.blocks():
        *whole, rest = (rest + block).split(b"\n")
        for line in whole:
            number += 1
            if b"\0" in line:
                target.cut(size)
                return found
            try:
                row = decode(line)
                index, shown = row.index, bytes(row.input)
            except (msgspec.DecodeError, UnicodeError):
                index, shown = _with_broken_text(line)
            if index < 0:
                _refuse(target, f"line {number} is no row of a map")
            if not found.add(index, shown):
                _refuse(target, f"line {number} answers input {index} once more")
            size += len(line) + 1
    if rest:
        target.cut(size)
    return found


def _with_broken_text(line: bytes) -> tuple[int, bytes]:
    """Index and input of a row with text that is no Unicode, which only Python's own reader takes; -1 for what is
    none."""
    import json

    from tempotask.cli.mapping import rows

    try:
        told = json.loads(line)
        index = told["index"]
        return (index if type(index) is int else -1), rows.encode(told["input"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return -1, b""


def _refuse(target: Target, why: str) -> NoReturn:
    raise click.UsageError(f"--resume goes on with what a map has written, and {target.name} is something else: {why}")


def _checksum(shown: bytes) -> int:
    return zlib.crc32(shown) or 1


def why_not_written(error: OSError) -> str:
    """One line for an output that can't be written."""
    full = "; make room" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
    return f"the output can't be written: {error.strerror}{full}"
