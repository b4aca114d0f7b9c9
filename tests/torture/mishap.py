"""What is to happen to single messages on their way through the proxy."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torture.proxy import Link, Proxy

Direction = Literal["request", "reply"]


def concerns(pids: Collection[int], pid: int) -> bool:
    """Whether what concerns these processes concerns that one; no processes mean all."""
    return not pids or pid in pids


class Loss:
    """Replies of one script that get lost after the script ran."""

    def __init__(self, script: str, times: int, chance: float, pids: Collection[int], swallow: bool) -> None:
        self.lost = 0
        """How many have got lost so far."""
        self.done = threading.Event()
        """Set when all have."""
        self.swallow = swallow
        """Whether the connection stays open."""
        self._script = script
        self._times = times
        self._chance = chance
        self._pids = pids

    def end(self) -> None:
        """None is lost any more."""
        self._times = self.lost

    def takes(self, script: str, pid: int, reply: bytes, draw: Callable[[], float]) -> bool:
        """Whether this reply gets lost; `draw` gives numbers from 0 to 1. An error says that the script did not run."""
        if (
            script != self._script
            or self.lost == self._times
            or reply.startswith(b"-")
            or not concerns(self._pids, pid)
        ):
            return False
        if draw() >= self._chance:
            return False
        self.lost += 1
        if self.lost == self._times:
            self.done.set()
        return True


class Hold:
    """The next request of a script, or its reply, which stays in the proxy until it is let go."""

    def __init__(self, proxy: Proxy, script: str, direction: Direction, pids: Collection[int]) -> None:
        self.reached = threading.Event()
        """Set when it is there."""
        self.pid = 0
        """The process at the client's end, once it is there."""
        self.link: Link | None = None
        self.direction = direction
        self._script = script
        self._pids = pids
        self._proxy = proxy

    def takes(self, script: str, direction: Direction, pid: int, message: bytes) -> bool:
        """Whether it is this one. An error says that the script did not run: not that reply is meant."""
        mine = self._script == script and self.direction == direction and concerns(self._pids, pid)
        return mine and not message.startswith(b"-")

    def release(self) -> None:
        """Lets it go on, or gives up waiting for it."""
        self._proxy.let_go(self, lose=False)

    def lose(self) -> None:
        """It never arrives: the connection breaks."""
        self._proxy.let_go(self, lose=True)
