"""Inputs: the lines of files or of the standard input, read ahead by a thread, and no further than a little."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence

import click

from tempotask.cli.mapping.work import LARGEST

BLOCK = 64 * 1024
"""Bytes that are read at once."""
AHEAD, AHEAD_BYTES = 8192, 4 * 1024 * 1024
"""Lines, and bytes, after which the reader waits."""


class Lines:
    """The lines that have been read and not been taken yet."""

    def __init__(self, files: Sequence[str], separator: bytes, notify: Callable[[], object]) -> None:
        """Opens the files; none means the standard input, and so does `-`. Raises `click.UsageError`."""
        self._separator = separator
        self._notify = notify
        self._files = [_open(name, separator) for name in files or ("-",)]
        self.identities = {(state.st_dev, state.st_ino) for state in map(os.fstat, self._files)}
        """Which files these are."""
        sizes = [_size(file) for file in self._files]
        self._all = None if None in sizes else sum(filter(None, sizes))
        """Bytes in all; None if a file does not say."""
        self._lines: deque[bytes] = deque()
        self._bytes = 0
        self._room = threading.Condition()
        self._closed = False
        self._read = 0
        self._at_end = False
        self.taken = 0
        """How many lines have been taken."""
        self.error = ""
        """Why reading came to an end before the end."""
        self._thread = threading.Thread(target=self._run, name="tempotask map: inputs", daemon=True)

    def begin(self) -> None:
        """Begins to read."""
        self._thread.start()

    @property
    def ended(self) -> bool:
        """Whether all have been taken."""
        # In this order: the end is told behind the last line.
        return self._at_end and not self._lines

    @property
    def total(self) -> float | None:
        """How many lines there are, or will be about; None where nobody can know."""
        there = self.taken + len(self._lines)
        if self._at_end:
            return there
        if self._all and self._read:
            return max(there, there * self._all / self._read)
        return None

    @property
    def left(self) -> int | None:
        """How many are left to be taken; None until all have been read."""
        return len(self._lines) if self._at_end else None

    def ready(self) -> int:
        """How many can be taken now."""
        return len(self._lines)

    @property
    def full(self) -> bool:
        """Whether no more come until some are taken, or none at all."""
        return self._at_end or len(self._lines) >= AHEAD or self._bytes >= AHEAD_BYTES

    def peek(self, most: int) -> list[bytes]:
        """The next of those that are there, which stay."""
        return [self._lines[i] for i in range(min(most, len(self._lines)))]

    def take(self, most: int, most_bytes: int) -> list[bytes]:
        """At most so many of those that are there; at most so many bytes if they are several."""
        lines, taken, size = self._lines, list[bytes](), 0
        for _ in range(min(most, len(lines))):
            size += len(lines[0])
            if taken and size > most_bytes:
                size -= len(lines[0])
                break
            taken.append(lines.popleft())
        self.taken += len(taken)
        with self._room:
            self._bytes -= size
            self._room.notify()
        return taken

    def close(self) -> None:
        """Reads no more. A thread that waits for a line right now ends with the program."""
        with self._room:
            self._closed = True
            self._room.notify()

    def _run(self) -> None:
        try:
            for file in self._files:
                self._go_through(file)
        except OSError as error:
            self.error = f"the inputs can't be read: {error.strerror}"
        except MemoryError:
            self.error = "the inputs can't be read: a line is larger than the memory"
        except BaseException as error:
            # Whoever maps must hear of it: else what was read would be taken for all.
            self.error = f"the inputs can't be read: {type(error).__name__}: {error}"
            raise
        finally:
            self._at_end = True
            self._notify()

    def _go_through(self, file: int) -> None:
        parts, size = list[bytes](), 0
        with contextlib.closing(os.fdopen(file, "rb", buffering=0)) as source:
            while (block := source.read(BLOCK)) and not self._closed:
                self._read += len(block)
                *whole, rest = block.split(self._separator)
                if whole:
                    whole[0] = b"".join((*parts, whole[0]))
                    parts.clear()
                    size = 0
                    self._put(whole)
                if size <= LARGEST:
                    # What is longer is taken by nobody, and may have no end.
                    parts.append(rest)
                    size += len(rest)
        if last := b"".join(parts):
            self._put([last])

    def _put(self, lines: list[bytes]) -> None:
        size = sum(map(len, lines))
        with self._room:
            self._room.wait_for(lambda: self._closed or (len(self._lines) < AHEAD and self._bytes < AHEAD_BYTES))
            self._bytes += size
            self._lines.extend(lines)
        self._notify()


def _open(name: str, separator: bytes) -> int:
    if name == "-":
        if sys.stdin is None:
            raise click.UsageError("the standard input is closed; give files, or a pipe")
        return os.dup(sys.stdin.fileno())
    # A pipe that nobody has opened to write, or a disk that is away, may let us wait: not without Ctrl-C and TERM.
    held_back = signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        file = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise click.UsageError(f"{name} can't be read: {error.strerror}") from None
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held_back)
    if stat.S_ISDIR(os.fstat(file).st_mode):
        os.close(file)
        raise click.UsageError(f"{name} is a folder; give files with an input a line, as in find {name} | …")
    if stat.S_ISREG(os.fstat(file).st_mode) and (doubt := _doubt(os.pread(file, BLOCK, 0), separator)):
        os.close(file)
        raise click.UsageError(f"{name} {doubt}")
    return file


def _doubt(block: bytes, separator: bytes) -> str:
    """What is to be said of a file that begins with such a block; nothing if it may be what was meant."""
    if separator == b"\0":
        whole_lines = len(block) < BLOCK and b"\0" not in block and block.endswith(b"\n") and block.count(b"\n") > 1
        return "holds lines, and no NUL; leave out -0" if whole_lines else ""
    if b"\0" not in block:
        return ""
    names = block[: block.rfind(b"\0")].split(b"\0")
    if all(names) and not any(byte < 32 and byte not in b"\t\n" for name in names for byte in name):
        return "holds inputs that end with NUL, as of find -print0; give -0"
    return "holds no lines of text; to give names of files: printf '%s\\n' FILE… | …"


def _size(file: int) -> int | None:
    state = os.fstat(file)
    if not stat.S_ISREG(state.st_mode):
        return None
    return max(0, state.st_size - os.lseek(file, 0, os.SEEK_CUR))
