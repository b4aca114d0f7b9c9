"""The ledger: a server of its own, in which handlers write down what they do, and which nobody ever harms.

It has nothing of the code under test: handlers write by a raw RPUSH and wait for the reply before they go on.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from pathlib import Path
from typing import NamedTuple

import redis
from servers import OwnServer

PATH = "TORTURE_LEDGER"
"""The environment variable that tells handlers where the ledger is."""
TRIES = 5


class Entry(NamedTuple):
    """One thing that a handler did."""

    what: str
    """`start`; `end` (it has a result) or `raise` (it raises an error), after which nothing of the handler follows."""
    job: str
    token: int
    attempt: int
    pid: int
    at: float
    """By the monotonic clock, which all processes of a machine share."""
    name: str
    of: str
    """Whom the job is for: the mark of a job that is owed, or its parent's id."""

    @property
    def run(self) -> str:
        """Names one run of a job; it is the result of that run too."""
        return f"{self.job}/{self.token}/{self.pid}"

    def __str__(self) -> str:
        what = f"{self.at:.6f} {self.what} {self.job} ({self.name} of {self.of}), attempt {self.attempt}"
        return f"{what}, token {self.token}, pid {self.pid}"


def read_entry(line: bytes | str) -> Entry:
    text = line if isinstance(line, str) else line.decode()
    what, job, token, attempt, pid, at, name, of = text.split(" ")
    return Entry(what, job, int(token), int(attempt), int(pid), float(at), name, of)


class Pen:
    """Writes to the ledger, in the process of a handler. A fork opens a way of its own."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._known: tuple[int, ...] = ()

    def write(self, what: str, job: str, token: int, attempt: int, name: str, of: str) -> None:
        """Returns when it is written down."""
        line = f"{what} {job} {token} {attempt} {os.getpid()} {time.monotonic():.6f} {name} {of}".encode()
        request = b"*3\r\n$5\r\nRPUSH\r\n$7\r\nentries\r\n$%d\r\n%b\r\n" % (len(line), line)
        for _ in range(TRIES):
            # Where a handler has closed descriptors, others may close what they take for theirs. Written twice is no
            # harm: each run has a mark of its own.
            with contextlib.suppress(OSError):
                if self._ask(request).startswith(b":"):
                    return
            self._socket = None
        raise RuntimeError("there is no way to the ledger")

    def _ask(self, request: bytes) -> bytes:
        try:
            way = self._way()
            way.sendall(request)
            reply = b""
            while not reply.endswith(b"\n"):
                part = way.recv(64)
                if not part:
                    return b""
                reply += part
        except BaseException:
            # An interrupt, say: what comes there next is the answer to this.
            self._socket = None
            raise
        return reply

    def _way(self) -> socket.socket:
        # A handler may have closed the descriptor, and another file may have its number now.
        if self._socket is None or self._known != self._look(self._socket):
            if self._socket is not None and self._known[0] == os.getpid():
                self._socket.detach()
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.connect(os.environ[PATH])
            self._known = self._look(self._socket)
        return self._socket

    @staticmethod
    def _look(way: socket.socket) -> tuple[int, ...]:
        try:
            found = os.fstat(way.fileno())
        except OSError:
            return ()
        return os.getpid(), found.st_dev, found.st_ino


class Ledger:
    """The server, and what is written there since the last judgement. May be used by several threads."""

    def __init__(self, folder: Path) -> None:
        self.server = OwnServer(folder, "--logfile", "log")
        self._client = redis.Redis(unix_socket_path=self.server.path)
        self._lock = threading.Lock()
        self._entries: list[Entry] = []
        self.ended: set[str] = set()
        """Jobs of which a run has ended with a result."""
        self.last: dict[int, Entry] = {}
        """The last entry of each process."""

    def entries(self) -> list[Entry]:
        """All of them so far, in the order in which they were written."""
        with self._lock:
            while lines := self._client.lrange("entries", len(self._entries), len(self._entries) + 9_999):
                for entry in map(read_entry, lines):
                    self._entries.append(entry)
                    self.last[entry.pid] = entry
                    if entry.what == "end":
                        self.ended.add(entry.job)
            return self._entries

    def busy(self) -> set[int]:
        """The processes that are inside of a chore; others need not write down that they end."""
        self.entries()
        return {pid for pid, entry in self.last.items() if entry.what == "start" and entry.of != "-"}

    def forget(self) -> None:
        """Empties it. Nobody may be at work."""
        with self._lock:
            self._client.delete("entries")
            self._entries, self.ended, self.last = [], set(), {}

    def close(self) -> None:
        self._client.close()
        self.server.kill()
