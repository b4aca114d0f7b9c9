"""The thread that talks to the server, so that the screen never waits for it: it looks, and acts when it is asked to.

It sets its own pace: at most one look a second, and fewer when looking or drawing costs more than a hundredth of a
core, or many queues need many commands.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import redis

from tempotask.errors import TempoTaskError
from tempotask.manager import QueueManager
from tempotask.top.state import Looking, State

EVERY = 1.0
"""Seconds between two looks, at least."""
SHARE = 0.008
"""Of a core: what looking and drawing may use on average."""
COMMANDS = 4.0
"""Commands a second that are sent to the server on average, at most."""
PATIENCE = 1.0
"""Seconds that the end waits for an answer of the server that is on its way."""

Act = Callable[[QueueManager[Any]], str]
"""What is done for a key; returns a line that says what came of it."""


class Sampler:
    """Samples the state of a manager's namespace in a thread of its own, from `start` to `stop`. `wake` is called from
    that thread when there is something new to show."""

    def __init__(self, manager: QueueManager[Any], wake: Callable[[], None]) -> None:
        self.state: State | None = None
        self.trouble: str | None = None
        """Why the last look failed; None if it did not."""
        self.looked_at = time.monotonic()
        """When the state was seen, by the monotonic clock; until then, when it all began."""
        self.failure: BaseException | None = None
        """What ended the thread, and was not foreseen."""
        self.drawing = 0.0
        """Seconds of the processor that it took to draw the last state."""
        self.said: queue.SimpleQueue[str] = queue.SimpleQueue()
        """What came of the acts."""
        self._manager = manager
        self._wake = wake
        self._looking = Looking(manager._client.store)
        self._acts: queue.SimpleQueue[Act | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="tempotask-top", daemon=True)

    def start(self) -> None:
        """Begins to look."""
        self._thread.start()

    def act(self, act: Act) -> None:
        """Has something done, and looked at what came of it."""
        self._acts.put(act)

    def stop(self) -> None:
        """Looks no more. Does not wait for a server that is away."""
        self._acts.put(None)
        self._thread.join(PATIENCE)

    def _run(self) -> None:
        try:
            while True:
                began, used, sent = time.monotonic(), time.thread_time(), self._looking.commands
                self._look()
                self._wake()
                cost, commands = time.thread_time() - used + self.drawing, self._looking.commands - sent
                pause = max(EVERY, cost / SHARE, commands / COMMANDS)
                with contextlib.suppress(queue.Empty):
                    act = self._acts.get(timeout=max(0.0, began + pause - time.monotonic()))
                    if act is None:
                        return
                    self.said.put(self._done(act))
        except BaseException as error:
            self.failure = error
            self._wake()

    def _look(self) -> None:
        try:
            self.state = self._looking.look()
        except (TempoTaskError, redis.RedisError) as error:
            self.trouble = str(error)
        else:
            self.trouble, self.looked_at = None, time.monotonic()

    def _done(self, act: Act) -> str:
        try:
            return act(self._manager)
        except (TempoTaskError, redis.RedisError) as error:
            return str(error)
