"""Where rows go: the standard output, or a file that is the truth about which inputs are answered."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import stat
import time
from collections.abc import Iterable

import click

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
        self.is_terminal = os.isatty(file)
        self.identity = state.st_dev, state.st_ino
        self.empty = state.st_size == 0
        self._synced = time.monotonic()
        self._dirty = False
        self._writing = False

    @classmethod
    def open(cls, name: str) -> Target:
        """A file of that name, which nobody else writes to meanwhile. Raises `click.UsageError`."""
        try:
            file = os.open(name, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise click.UsageError(f"{name or repr(name)} can't be written: {error.strerror}") from None
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
        self._writing = True
        while left:
            try:
                left = left[os.write(self._file, left) :]
            except BlockingIOError:
                # Somebody who has the other end made it so.
                select.select([], [self._file], [])
            self._dirty = True
        self._writing = False

    def give_up(self) -> None:
        """Ends a write that waits for its reader: it raises `InterruptedError`. To be called by a signal handler."""
        if self._writing and not self.regular:
            raise InterruptedError(errno.EINTR, "nobody reads it")

    def sync(self, *, now: bool = False) -> None:
        """Has what was written put on the disk, from time to time or `now`: a power cut takes nothing before it."""
        if self.regular and self._dirty and (now or time.monotonic() > self._synced + SYNC):
            os.fsync(self._file)
            self._synced, self._dirty = time.monotonic(), False

    def cut(self, size: int = 0) -> None:
        """Of a file leaves the first bytes only."""
        if self.regular:
            os.ftruncate(self._file, size)

    def blocks(self) -> Iterable[bytes]:
        """All that is in it."""
        at = 0
        while block := os.pread(self._file, BLOCK, at):
            yield block
            at += len(block)

    def close(self) -> None:
        """Puts it on the disk and closes it."""
        try:
            self.sync(now=True)
        finally:
            os.close(self._file)


def why_not_written(error: OSError) -> str:
    """One line for an output that can't be written."""
    full = "; make room" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
    return f"the output can't be written: {error.strerror}{full}"
