"""Outage: the server does not answer a call. It is made again after growing pauses, and the reason is said once."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import redis

from tempotask.errors import TempoTaskError
from tempotask.pauses import growing
from tempotask.store import rights
from tempotask.store.connect import FIRST_PAUSE, LONGEST_PAUSE
from tempotask.store.wire import Lost

NO_ANSWER = (Lost, redis.RedisError, TempoTaskError)
"""What a call on a wire raises when it is not answered as our server would: the connection breaks, the user or the
command is refused, something else answers. None of it is a job's fault."""


class Outage:
    """Of one kind of call, `what` in words. For one thread at a time."""

    def __init__(self, what: str, say: Callable[[str], None]) -> None:
        self._what = what
        self._say = say
        self._said = ""
        self.tries = 0
        """How many were in vain, one after the other."""

    def over(self) -> None:
        """The call was answered."""
        self._said, self.tries = "", 0

    def sit_out(self, error: Exception | None = None) -> None:
        """Pauses before the next try. Says why if the server refuses; of one that is away, others tell."""
        if error is not None and not isinstance(error, Lost):
            why = rights.without_name(error) if isinstance(error, redis.RedisError) else str(error)
            if why != self._said:
                self._said = why
                self._say(f"{self._what} fails, and is tried again: {why}")
        self.tries += 1
        time.sleep(growing(FIRST_PAUSE, LONGEST_PAUSE, self.tries) * random.uniform(0.5, 1.0))
