"""A terminal, as far as `tempotask top` and `tempotask map` use one: what a program in it has on the screen."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from pool.running import LONG

PIECE = re.compile(rb"\x1b\[([?0-9;]*)([A-Za-z])|([\r\n])|([^\x1b\r\n]+)", re.DOTALL)
UNFINISHED = re.compile(rb"\x1b(\[[?0-9;]*)?\Z|[\xc0-\xff][\x80-\xbf]{0,2}\Z")


class Glass:
    """What is on a screen, from what was written to it. Characters are one column wide each."""

    def __init__(self, columns: int, lines: int) -> None:
        self.alternate, self.cursor = False, True
        self.unknown: list[bytes] = []
        """What this terminal would not have understood."""
        self._left = b""
        self.resize(columns, lines)

    def resize(self, columns: int, lines: int) -> None:
        """Of a size as new; nothing is on it. What is still on its way for the old one is passed over, until the screen
        is cleared."""
        self._settled = False
        self.columns, self.lines = columns, lines
        self.cells = [[" "] * columns for _ in range(lines)]
        self.x = self.y = 0

    @property
    def text(self) -> str:
        return "\n".join("".join(row).rstrip() for row in self.cells)

    def feed(self, written: bytes) -> None:
        written = self._left + written
        rest = UNFINISHED.search(written)
        written, self._left = (written[: rest.start()], rest[0]) if rest else (written, b"")
        for match in PIECE.finditer(written):
            arguments, letter, control, text = match.groups()
            if letter:
                self._obey(arguments, letter)
            elif control == b"\r":
                self.x = 0
            elif control == b"\n":
                self.y += 1
            else:
                self._put(text.decode())

    def _obey(self, arguments: bytes, letter: bytes) -> None:
        if letter == b"H":
            y, x = (int(number) - 1 for number in (arguments or b"1;1").split(b";"))
            self.x, self.y = x, y
        elif letter == b"J":
            self.cells = [[" "] * self.columns for _ in range(self.lines)]
            self._settled = True
        elif letter == b"A":
            self.y = max(0, self.y - int(arguments or b"1"))
        elif letter == b"K" and self.y < self.lines:
            start = 0 if arguments == b"2" else self.x
            self.cells[self.y][start:] = [" "] * (self.columns - start)
        elif (arguments, letter) in ((b"?1049", b"h"), (b"?1049", b"l")):
            self.alternate = letter == b"h"
        elif (arguments, letter) in ((b"?25", b"h"), (b"?25", b"l")):
            self.cursor = letter == b"h"
        elif letter not in b"mK":
            self.unknown.append(arguments + letter)

    def _put(self, text: str) -> None:
        for letter in text:
            if 0 <= self.y < self.lines and self.x < self.columns:
                self.cells[self.y][self.x] = letter
                self.x += 1
            elif self._settled:
                self.unknown.append(f"{letter!r} at {self.x},{self.y}".encode())


class Terminal:
    """A program in a terminal of that size."""

    def __init__(
        self,
        command: Sequence[str],
        columns: int = 120,
        lines: int = 30,
        folder: Path | None = None,
        **environment: str,
    ) -> None:
        self._ours, theirs = pty.openpty()
        self.glass = Glass(columns, lines)
        self._set_size(columns, lines)
        self.before = termios.tcgetattr(self._ours)
        self.process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, preexec_fn=_own_terminal, cwd=folder,
            env={**os.environ, "TERM": "xterm-256color", **environment},
        )  # fmt: skip
        os.close(theirs)

    def _set_size(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def resize(self, columns: int, lines: int) -> None:
        self.glass.resize(columns, lines)
        self._set_size(columns, lines)

    def type(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def wait_for(self, *texts: str, without: Sequence[str] = (), within: float = LONG) -> str:
        """Waits until all that is on the screen at once, and none of the others."""
        return self.wait_until(
            lambda text: all(one in text for one in texts) and not any(one in text for one in without),
            f"{texts} without {without}", within,
        )  # fmt: skip

    def wait_until(self, seen: Callable[[str], object], what: str, within: float = LONG) -> str:
        end = time.monotonic() + within
        while not seen(self.glass.text):
            left = end - time.monotonic()
            assert left > 0, f"no {what} on the screen:\n{self.glass.text}"
            assert self._read(left), f"it ended without {what}:\n{self.glass.text}"
        return self.glass.text

    def _read(self, within: float) -> bool:
        """Whether more may come."""
        if not select.select([self._ours], [], [], within)[0]:
            return True
        try:
            self.glass.feed(os.read(self._ours, 65536))
        except OSError:
            return False
        return True

    def end(self) -> int:
        """Waits for the program's end, and reads what it has written until then."""
        end = time.monotonic() + LONG
        while self._read(0.05):
            if self.process.poll() is not None and not select.select([self._ours], [], [], 0)[0]:
                break
            assert time.monotonic() < end, "it does not end"
        return self.process.wait(LONG)

    def is_as_before(self) -> bool:
        """Whether nothing of the program is left on it."""
        return (termios.tcgetattr(self._ours), self.glass.alternate, self.glass.cursor) == (self.before, False, True)

    def hang_up(self) -> None:
        """The terminal is gone: its window was closed."""
        os.close(self._ours)
        self._ours = -1

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(LONG)
        if self._ours >= 0:
            os.close(self._ours)


def _own_terminal() -> None:
    """In the child: the terminal is its own, so that Ctrl-C and a change of size come to it."""
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP):
        signal.signal(number, signal.SIG_DFL)


TOP = (sys.executable, "-m", "tempotask.cli", "top")
