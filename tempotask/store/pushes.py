"""Pushes: the thread that takes what the server pushes to a list of this process, how jobs ended that it waits for.

It lives while somebody waits, and a little longer.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Protocol, cast

import redis
from redis.connection import AbstractConnection

from tempotask.pauses import growing
from tempotask.store.connect import BROKEN
from tempotask.store.owed import Told
from tempotask.store.wait import FIRST_PAUSE

if TYPE_CHECKING:
    from tempotask.store.connect import Server
    from tempotask.store.store import Store

LINGER = 10.0
"""Seconds that the thread stays when nobody waits."""


class Hearer(Protocol):
    """Whom the thread tells what it takes, and asks what to do. Calls raise `BROKEN`."""

    def anybody_waits(self) -> bool: ...

    def hear(self, told: Told) -> None:
        """This was pushed; nothing, when nothing came for a while."""

    def ask_for_all(self) -> None:
        """The connection broke, and what was on its way may be lost."""

    def until_check(self) -> float:
        """Seconds after which `hear` is to be called though nothing was pushed."""

    def break_down(self, error: Exception) -> None:
        """The thread ends by a defect, and takes nothing any more."""


class Pushes:
    """What is pushed to this process, which the server knows as `client`.

    `lock` is the hearer's, and held when it is asked whether anybody waits.
    """

    def __init__(self, server: Server, store: Store, client: str, hearer: Hearer, lock: threading.RLock) -> None:
        self._server = server
        self._store = store
        self._client = client
        self._hearer = hearer
        self._wanted = threading.Condition(lock)
        self._thread: threading.Thread | None = None
        self._taking = False
        """Whether the thread blocks at the server, or is about to."""
        self._rest = 0.0
        """Seconds for which the thread rests when it has taken something."""
        self.closed = False

    def expect(self) -> None:
        """Somebody waits, or is to be asked for earlier than was known: has the thread run and look. With the lock."""
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="tempotask outcomes", daemon=True)
            thread.start()
            # Only now: Ctrl-C may come while it starts, and one that has not can't be joined.
            self._thread = thread
        self._wanted.notify_all()

    def rest(self, seconds: float) -> None:
        """Lets the thread rest for so long, each time when it has taken something: what comes meanwhile is taken in one
        go. 0.0: no more, which ends a rest at once."""
        with self._wanted:
            self._rest = seconds
            if not seconds:
                self._wanted.notify_all()

    def close(self) -> None:
        """Nothing is taken any more; with the lock. `join` is to follow, without it."""
        self.closed = True
        self._wanted.notify_all()

    def join(self) -> None:
        """Waits for the thread's end, after `close`."""
        thread = self._thread
        if thread is None or thread is threading.current_thread():
            return
        if self._taking:
            # An empty push, so that it looks up; else it does so by itself, a little later.
            with contextlib.suppress(*BROKEN):
                self._store.notify([f"waits:{self._client}"], "")
        thread.join(timeout=2 * FIRST_PAUSE)

    def _run(self) -> None:
        connection: AbstractConnection | None = None
        breaks = 0
        try:
            while self._is_wanted():
                try:
                    if connection is None:
                        connection = self._server.connection(timeout=FIRST_PAUSE + self._server.connect_timeout)
                    if breaks:
                        self._hearer.ask_for_all()
                        breaks = 0
                    self._take(cast(redis.Connection, connection))
                except BROKEN:
                    breaks += 1
                    if connection is not None:
                        connection.disconnect()  # type: ignore[no-untyped-call]
                        connection = None
                    with self._wanted:
                        self._wanted.wait_for(lambda: self.closed, timeout=growing(0.1, FIRST_PAUSE, breaks))
        except Exception as error:
            with self._wanted:
                self._thread = None
            self._hearer.break_down(error)
            raise
        finally:
            if connection is not None:
                connection.disconnect()  # type: ignore[no-untyped-call]

    def _is_wanted(self) -> bool:
        """Waits until somebody waits; false when nobody did for a while, and then the thread must end."""
        with self._wanted:
            wanted = self._wanted.wait_for(lambda: self.closed or self._hearer.anybody_waits(), timeout=LINGER)
            if not wanted:
                self._thread = None
            return wanted and not self.closed

    def _take(self, connection: redis.Connection) -> None:
        with self._wanted:
            if self.closed:
                return
            self._taking = True
        try:
            # Not for long, as somebody may come who has to be asked for earlier.
            patience = min(FIRST_PAUSE, max(0.01, self._hearer.until_check()))
            told = self._store.told(self._client, connection, patience)
        finally:
            self._taking = False
        self._hearer.hear(told)
        if told and self._rest:
            with self._wanted:
                self._wanted.wait_for(lambda: self.closed or not self._rest, timeout=self._rest)
