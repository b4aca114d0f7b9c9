"""The terminal while something is shown on it: another screen, keys that come at once. Afterwards it is as it was.

Signals do no more than wake whoever waits here: a terminal must not be left half-way.
"""

from __future__ import annotations

import contextlib
import io
import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self

from rich.console import Console
from rich.control import Control
from rich.segment import ControlType
from rich.text import Text

ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)
"""Signals that are to end the program."""
SIGNALS = (*ENDING, signal.SIGWINCH, signal.SIGTSTP, signal.SIGCONT)
UNKNOWN_SIZE = (80, 24)
"""Taken for the size of a terminal that does not tell it."""


class Happened(NamedTuple):
    """Why a wait is over."""

    read: bytes = b""
    """What was typed."""
    ended: int = 0
    """The signal that is to end the program; SIGHUP as well when the terminal is gone."""


def why_not() -> str | None:
    """Why nothing can be shown here that changes; None if it can."""
    if sys.stdin is None or not sys.stdin.isatty() or not sys.stdout.isatty():
        return "this is no terminal"
    if os.environ.get("TERM", "dumb").lower() in ("", "dumb", "unknown"):
        return f"the terminal can't move its cursor (TERM is {os.environ.get('TERM') or 'not set'})"
    return None


class Terminal:
    """The terminal of this process, from `with` on. In the main thread: it takes the signals over."""

    def __init__(self) -> None:
        self._in, self._out = sys.stdin.fileno(), sys.stdout.fileno()
        self._console = Console(highlight=False, markup=False, emoji=False)
        self._wake, self._wake_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._alarm, self._alarm_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._shown: list[Text] = []
        self._handlers: dict[int, Any] = {}
        self._before: list[Any] = []

    def __enter__(self) -> Self:
        # What the terminal can't write, it is not to stumble over.
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")
        self._before = termios.tcgetattr(self._in)
        signal.set_wakeup_fd(self._alarm_end, warn_on_full_buffer=False)
        self._handlers = {number: signal.signal(number, lambda *_: None) for number in SIGNALS}
        self._take()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._give_back()
        signal.set_wakeup_fd(-1)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        pipes = (self._wake, self._wake_end, self._alarm, self._alarm_end)
        # Who wakes us now must not write to what gets that number next.
        self._wake_end = -1
        for fd in pipes:
            os.close(fd)

    # -- what is shown

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines, now."""
        try:
            columns, lines = os.get_terminal_size(self._out)
        except OSError:
            columns, lines = 0, 0
        return (columns, lines) if columns and lines else UNKNOWN_SIZE

    def show(self, lines: Sequence[Text]) -> None:
        """Shows these lines from the top on, and nothing else. Only what has changed is written."""
        self._console.size = self.size
        with contextlib.suppress(OSError), self._console:
            for number in range(max(len(lines), len(self._shown))):
                line = lines[number] if number < len(lines) else Text()
                if number >= len(self._shown) or line != self._shown[number]:
                    self._console.control(Control.move_to(0, number))
                    self._console.print(line, end="", no_wrap=True, overflow="crop", crop=True)
                    self._console.control(Control((ControlType.ERASE_IN_LINE, 0)))
        self._shown = list(lines)

    def clear(self) -> None:
        """Everything is to be written anew: what the terminal made of it when its size changed, nobody knows."""
        self._shown = []
        with contextlib.suppress(OSError):
            self._console.control(Control(ControlType.HOME, ControlType.CLEAR))

    # -- what happens

    def wake(self) -> None:
        """Ends a wait; from any thread."""
        with contextlib.suppress(OSError):
            os.write(self._wake_end, b"\0")

    def wait(self, seconds: float | None) -> Happened:
        """Waits until something is typed, a signal comes, or somebody calls `wake`; at most so long."""
        readable, _, _ = select.select([self._in, self._wake, self._alarm], [], [], seconds)
        _empty(self._wake)
        for number in _empty(self._alarm):
            if number in ENDING:
                return Happened(ended=number)
            if number == signal.SIGTSTP:
                self._pause()
            elif number in (signal.SIGWINCH, signal.SIGCONT):
                self.clear()
        if self._in not in readable:
            return Happened()
        try:
            read = os.read(self._in, 4096)
        except OSError:
            read = b""
        return Happened(read) if read else Happened(ended=signal.SIGHUP)

    def _pause(self) -> None:
        """Stopped by Ctrl-Z: the shell gets its terminal as it was, until we are let go on."""
        self._give_back()
        handler = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, handler)
        self._take()

    def _take(self) -> None:
        tty.setcbreak(self._in, termios.TCSANOW)
        self._console.set_alt_screen(True)
        self._console.show_cursor(False)
        self.clear()

    def _give_back(self) -> None:
        # The terminal may be gone.
        with contextlib.suppress(OSError):
            self._console.show_cursor(True)
            self._console.set_alt_screen(False)
        with contextlib.suppress(termios.error):
            termios.tcsetattr(self._in, termios.TCSANOW, self._before)


def _empty(fd: int) -> bytes:
    read = b""
    with contextlib.suppress(BlockingIOError):
        while some := os.read(fd, 4096):
            read += some
    return read
