"""The supervisor's talk with the server, in threads of its own, so that its loop is never held up.

One thread sends what it is asked to, in order, and keeps trying through an outage: what is asked for must be safe to
do twice. Another blocks on the orders that others leave for this supervisor. What comes back is called in the loop.
"""

from __future__ import annotations

import collections
import contextlib
import errno
import functools
import logging
import os
import queue
import threading
import time
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import redis

from tempotask.errors import TempoTaskError
from tempotask.pool.outage import NO_ANSWER, Outage
from tempotask.pool.signals import drained
from tempotask.store.store import Store
from tempotask.store.wire import ANSWER_WITHIN, IDLE_SECONDS, Wire

T = TypeVar("T")
log = logging.getLogger("tempotask")

SILENCE = 2.0
"""Seconds after which those who end do not wait any more for a server that could not be used meanwhile. For one that is
only slow they do."""
REFUSED_PAUSE = 0.2
"""Seconds between two tries with a server that refuses us at once."""


class Clerk:
    """Asks the server on behalf of a loop, which watches `fileno()` and calls `deliver()` when it is readable."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._asked: queue.SimpleQueue[tuple[Callable[[], Any], Callable[[Any], None]] | None] = queue.SimpleQueue()
        self._answers: collections.deque[Callable[[], None]] = collections.deque()
        self._readable, self._writable = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._ended = False
        self._asking_since: float | None = None
        self._outages = 0
        """How many the server had had when it was asked."""
        self._refused = False
        self._orders_for = ""
        self._thread = threading.Thread(target=self._serve, name="tempotask-clerk", daemon=True)

    def start(self) -> None:
        """Begins to serve. Raises `OSError` when the system refuses a thread."""
        _start(self._thread)

    def fileno(self) -> int:
        """Readable when there is something to deliver."""
        return self._readable

    def ask(self, call: Callable[[], T], then: Callable[[T], None] | None = None) -> None:
        """Has `call` made, after all that was asked before; `then` gets what it returned, in the loop."""
        self._asked.put((call, then or _nothing))

    def deliver(self) -> None:
        """In the loop: calls what waits for answers. Raises what an unforeseen error of the thread was."""
        drained(self._readable)
        while self._answers:
            self._answers.popleft()()

    def listen(self, supervisor: str, then: Callable[[bytes], None]) -> None:
        """Listens for the orders of that supervisor, from now on for no other; `then` gets each, in the loop.

        Raises `OSError` when the system refuses a thread.
        """
        if self._orders_for == supervisor:
            return
        self._orders_for = supervisor
        listener = threading.Thread(target=self._listen, args=(supervisor, then), name="tempotask-orders", daemon=True)
        try:
            _start(listener)
        except OSError:
            self._orders_for = ""
            raise

    @property
    def in_vain(self) -> bool:
        """Whether the server can't be used, and has not answered for so long that those who end do not wait for it."""
        since, away = self._asking_since, self._refused or self.store.server.outages != self._outages
        return away and since is not None and time.monotonic() - since >= SILENCE

    def end(self, patience: float) -> None:
        """Does what was asked and ends, within so many seconds, all done or not; sooner if that is in vain."""
        self._asked.put(None)
        end = time.monotonic() + patience
        while self._thread.is_alive() and time.monotonic() < end and not self.in_vain:
            self._thread.join(0.05)
        self._ended = True

    def _answer(self, call: Callable[[], None]) -> None:
        self._answers.append(call)
        with contextlib.suppress(OSError):
            os.write(self._writable, b"\0")

    def _serve(self) -> None:
        while not self._ended and (asked := self._asked.get()) is not None:
            call, then = asked
            self._outages, self._asking_since = self.store.server.outages, time.monotonic()
            try:
                answer = self._insist(call)
            except Exception as error:
                # Unforeseen. What hangs on the answer, the next renewal say, would never come, and nobody would know.
                self._answer(functools.partial(_raise, error))
                return
            self._asking_since = None
            self._answer(lambda then=then, answer=answer: then(answer))  # type: ignore[misc]

    def _insist(self, call: Callable[[], Any]) -> Any:
        away = False
        while not self._ended:
            try:
                answer = call()
            except (TempoTaskError, redis.RedisError) as error:
                if not away:
                    log.warning("the server can't be used, and is tried again: %s", error)
                away = self._refused = True
                # `patiently` has waited unless the server refuses us, and may go on to do so.
                time.sleep(REFUSED_PAUSE)
                continue
            if away:
                log.info("the server is back")
                self._refused = False
            return answer
        return None

    def _listen(self, supervisor: str, then: Callable[[bytes], None]) -> None:
        # One of its own: whoever listened for another id may still be blocked.
        wire = Wire(self.store.server, self.store.namespace, ANSWER_WITHIN)
        outage = Outage("listening for orders", log.warning)
        while not self._ended and self._orders_for == supervisor:
            try:
                order = wire.wait(f"orders:{supervisor}", IDLE_SECONDS)
            except NO_ANSWER as error:
                outage.sit_out(error)
                continue
            outage.over()
            if order is not None and self._orders_for == supervisor:
                self._answer(lambda order=order: then(order))  # type: ignore[misc]


def _start(thread: threading.Thread) -> None:
    try:
        thread.start()
    except RuntimeError as error:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from error


def _raise(error: Exception) -> NoReturn:
    raise error


def _nothing(answer: object) -> None:
    pass
