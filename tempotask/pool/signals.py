"""What the supervisor is told by signals: TERM and INT to stop, HUP to take up changed code; USR1 and USR2, by the
program that started it, to stop gently or at once.

A signal can come anywhere, in the middle of anything. So its handler only writes it down, and wakes the loop.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType

from tempotask.linux import has_terminal
from tempotask.process import HELD_BACK

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""What terminals and service managers send, to all processes maybe."""


class Signals:
    """Those that have come. Readable, for a selector, when there are some."""

    def __init__(self) -> None:
        self._alarm, self._alarm_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._come: list[int] = []
        self._terminal = has_terminal()

    def fileno(self) -> int:
        return self._alarm

    def listen(self) -> None:
        """From here on they are heard. Before children and threads are started: none may be there that holds them back,
        as this process has since it was started."""
        for number in HELD_BACK:
            signal.signal(number, self._note)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_BACK)

    def ignore(self) -> None:
        """At the end: one that comes while the interpreter ends would change the exit status."""
        for number in HELD_BACK:
            signal.signal(number, signal.SIG_IGN)

    def take(self) -> Iterator[int]:
        """One after the other, those that come meanwhile too."""
        drained(self._alarm)
        while self._come:
            yield self._come.pop(0)

    @property
    def terminal_was_closed(self) -> bool:
        """Whether there was a terminal and is none any more, which is told by HUP as well."""
        return self._terminal and not has_terminal()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._come.append(number)
        with contextlib.suppress(OSError):
            os.write(self._alarm_end, b"\0")


def drained(fd: int) -> None:
    """Reads what wakes a loop, all of it."""
    with contextlib.suppress(BlockingIOError):
        while os.read(fd, 4096):
            pass
