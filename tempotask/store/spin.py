"""Waiting for an answer without falling asleep.

Where a process sleeps and nobody else is there, its core falls asleep too, and to wake both takes several times as long
as the server needs for an answer. So for a moment the answer is looked for again and again. Other threads of the
process go on meanwhile. Where answers take longer, over a network say, that is left off, and tried again later.

Only for who asks one thing right after the other: a single question is about a job, most likely, and the core is left
to the worker that is woken for it.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable

MOMENT = 0.0001
"""Seconds for which an answer is looked for: a few times what it takes on the same host."""
SOON = 0.001
"""Seconds between two questions that come one right after the other."""
PATIENCE = 8
"""Answers in a row that did not come within it, after which it is left off."""
BREAK = 500
"""Calls for which it is left off."""


class Spin:
    """For the answers on one descriptor, one after the other; `clock` tells seconds that never go back."""

    def __init__(self, descriptor: int, clock: Callable[[], float] = time.monotonic) -> None:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        self._look, self._clock = poll.poll, clock
        self._asked = 0.0
        self._left = PATIENCE
        """Tries until it is left off; while it is, calls until it is tried again, below zero."""

    def wait(self) -> None:
        """Returns when there is something to read, or when it is better to sleep until there is."""
        look, clock = self._look, self._clock
        before, self._asked = self._asked, clock()
        if self._asked - before > SOON:
            return
        if self._left < 0:
            self._left += 1
            return
        until = self._asked + MOMENT
        while not look(0):
            if clock() > until:
                self._left = self._left - 1 if self._left else -BREAK
                return
        self._left = PATIENCE
