"""The load: thousands of short jobs that always wait, while things break."""

from __future__ import annotations

import threading
import time
import traceback

import redis

from tempotask import TempoTaskError
from torture.chores import CHILDREN, QUEUES
from torture.world import World

AT_ONCE = 500
SAMPLE = 10
"""Of so many of them a producer waits for the result."""


class Load:
    """Adds short jobs, from a thread of its own, until `finish`, and until so many have been added."""

    def __init__(self, world: World, seed: int, number: int, backlog: int) -> None:
        self._world = world
        self._number = number
        self._backlog = backlog
        self._seed = seed
        self.added = 0
        self.refused = 0
        """How many calls ended with an error, as they may."""
        self.error = ""
        """What the producer met with, if that is nothing that a producer should be told."""
        self._finished = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self._world.seed_thread(self._seed)
        try:
            while self.added < self._number or not self._finished.is_set():
                if self._waiting() > self._backlog:
                    time.sleep(0.01)
                else:
                    self._add()
        except BaseException:
            self.error = traceback.format_exc()

    def _waiting(self) -> int:
        keys = (f"{{{self._world.namespace}}}:queue:0:{queue}" for queue in (*QUEUES, CHILDREN))
        try:
            return sum(int(self._world.direct.llen(key)) for key in keys)
        except redis.RedisError:
            return 0

    def _add(self) -> None:
        try:
            handles = self._world.add_mixed(AT_ONCE)
        except TempoTaskError:
            self.refused += 1
            time.sleep(0.05)
            return
        self.added += len(handles)
        self._world.receipts.wait_for(self._world.random.sample(handles, SAMPLE))

    def wait_for_backlog(self) -> None:
        """Returns when work is there for all, or the producer has nothing more to add."""
        while self._thread.is_alive() and self.added < self._backlog:
            time.sleep(0.005)

    def abandon(self) -> None:
        """Adds no more."""
        self._number = 0
        self._finished.set()

    def finish(self) -> None:
        """Returns when all has been added."""
        self._finished.set()
        self._thread.join()
