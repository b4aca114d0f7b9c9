"""A link that takes its time: between hosts and the server, each way takes half of the latency.

A process of its own takes connections on a unix socket and passes on what comes, in chunks, each with the time at
which it is due. So the latency of one chunk holds up no other, and what comes together goes on together.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import select
import socket
import time
from collections import deque
from multiprocessing.synchronize import Event
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.harness import PATIENCE, Failed
from tempotask import linux

FORK = multiprocessing.get_context("fork")
CHUNK = 1 << 18
_PR_SET_TIMERSLACK = 29


class Link:
    """The process. `latency` may be changed while it runs; what is under way keeps its own."""

    def __init__(self, folder: Path, server: Path) -> None:
        self._path = folder / "link.sock"
        self.url = f"unix://{self._path}"
        self._latency = FORK.Value("d", 0.0)
        self._listens = FORK.Event()
        told = (os.getpid(), self._path, server, self._latency, self._listens)
        self._process = FORK.Process(target=_pass_on, args=told, daemon=True)

    def __enter__(self) -> Self:
        self._process.start()
        if not self._listens.wait(PATIENCE):
            raise Failed("the link does not listen")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.join()
        self._path.unlink(missing_ok=True)

    @property
    def pid(self) -> int:
        return self._process.pid or 0

    @property
    def latency(self) -> float:
        """Seconds that a round trip takes longer."""
        return float(self._latency.value)

    @latency.setter
    def latency(self, seconds: float) -> None:
        self._latency.value = seconds


class _Way:
    """One direction of one connection."""

    def __init__(self, source: socket.socket, target: socket.socket) -> None:
        self.source, self.target = source, target
        self.under_way: deque[tuple[float, memoryview]] = deque()
        self.blocked = False

    def take(self, due: float) -> None:
        try:
            chunk = self.source.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        self.under_way.append((due, memoryview(chunk)))

    def deliver(self, now: float) -> bool:
        """Passes on what is due. Whether this is the end of it."""
        self.blocked = False
        while self.under_way and self.under_way[0][0] <= now:
            due, chunk = self.under_way.popleft()
            if not chunk:
                return True
            try:
                sent = self.target.send(chunk)
            except BlockingIOError:
                sent = 0
            except OSError:
                return True
            if sent < len(chunk):
                self.under_way.appendleft((due, chunk[sent:]))
                self.blocked = True
                return False
        return False


class _Ways:
    """All directions of all connections."""

    def __init__(self) -> None:
        self.by_source: dict[socket.socket, _Way] = {}

    def open(self, near: socket.socket, server: Path) -> None:
        far = socket.socket(socket.AF_UNIX)
        try:
            far.connect(str(server))
        except OSError:
            near.close()
            far.close()
            return
        for source, target in ((near, far), (far, near)):
            source.setblocking(False)
            self.by_source[source] = _Way(source, target)

    def part(self, way: _Way) -> None:
        for end in (way.source, way.target):
            self.by_source.pop(end, None)
            end.close()

    def deliver(self) -> float | None:
        """Passes on what is due; seconds until the next is."""
        for way in list(self.by_source.values()):
            if way.under_way and way.source.fileno() >= 0 and way.deliver(time.monotonic()):
                self.part(way)
        dues = [way.under_way[0][0] for way in self.by_source.values() if way.under_way and not way.blocked]
        return max(0.0, min(dues) - time.monotonic()) if dues else None


def _pass_on(parent: int, path: Path, server: Path, latency: Any, listens: Event) -> None:
    linux.die_with(parent)
    # The kernel may be late by 50 µs otherwise.
    ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)
    ways = _Ways()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(1000)
        listens.set()
        while True:
            pause = ways.deliver()
            blocked = [way.target for way in ways.by_source.values() if way.blocked]
            # `select` and not the selectors with a longer reach: they round up to a millisecond.
            readable, _, _ = select.select([listener, *ways.by_source], blocked, [], pause)
            due = time.monotonic() + latency.value / 2
            for source in readable:
                if source is listener:
                    ways.open(listener.accept()[0], server)
                elif source in ways.by_source:
                    ways.by_source[source].take(due)
