"""A stop from outside: Ctrl-C and TERM take the same way, on which all that was started is ended."""

from __future__ import annotations

import signal
from types import FrameType
from typing import NoReturn

STOPPED = 130
"""The exit status of what was stopped before it was over."""
STOPS = (signal.SIGTERM, signal.SIGINT)


def allow() -> None:
    """From now on either of the two is a `KeyboardInterrupt`, also where a shell had Ctrl-C ignored."""
    for number in STOPS:
        signal.signal(number, _stop)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    # The terminal and whoever waits for us may both tell it: the second one must not break what the first one ends.
    for each in STOPS:
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt
