"""A thread that watches sockets, and does between two events what others ask it to do."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


class Loop:
    """A selector and timers in a thread of their own. All methods but `do` and `close` are for that thread."""

    def __init__(self, name: str) -> None:
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._asked: deque[Callable[[], None]] = deque()
        self._woken, self._wake = socket.socketpair()
        self._woken.setblocking(False)
        self.watch(self._woken, selectors.EVENT_READ, self._on_woken)
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def do(self, action: Callable[[], T]) -> T:
        """Does something in the thread, and returns what it returns."""
        answer: Future[T] = Future()

        def act() -> None:
            try:
                answer.set_result(action())
            except BaseException as error:
                answer.set_exception(error)

        self._asked.append(act)
        self._wake.send(b".")
        return answer.result(60)

    def close(self) -> None:
        """Ends the thread."""
        self.do(self._stop)
        self._thread.join()
        self._selector.close()
        self._wake.close()
        self._woken.close()

    def watch(self, end: socket.socket, wanted: int, what: Callable[[int], None]) -> None:
        """Has `what` called with the events that happen at a socket; 0 for none any more."""
        known = self._selector.get_map().get(end)
        if known is not None and known.events == wanted:
            return
        if known is not None and wanted:
            self._selector.modify(end, wanted, known.data)
        elif known is not None:
            self._selector.unregister(end)
        elif wanted:
            self._selector.register(end, wanted, what)

    def at(self, when: float, what: Callable[[], None]) -> None:
        """Has `what` called at a time of `time.monotonic`."""
        heapq.heappush(self._timers, (when, next(self._numbers), what))

    def _run(self) -> None:
        while not self._stopped:
            left = max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None
            for key, events in self._selector.select(left):
                key.data(events)
            while self._timers and self._timers[0][0] <= time.monotonic():
                heapq.heappop(self._timers)[2]()

    def _on_woken(self, events: int) -> None:
        with contextlib.suppress(BlockingIOError):
            self._woken.recv(4096)
        while self._asked:
            self._asked.popleft()()

    def _stop(self) -> None:
        self._stopped = True
