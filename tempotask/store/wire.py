"""A connection of one's own: one, for one thread at a time, with as little between it and the socket as there can be.

Nothing is tried again here. Whether a call that broke took effect is not known, and what to do about that is the
protocol's business: a turn goes out again under a higher number, a wait is never repeated.
"""

from __future__ import annotations

import os
from typing import Any, NoReturn, cast

import redis
from redis.connection import AbstractConnection
from redis.exceptions import NoScriptError

from tempotask.errors import ServerUnavailable
from tempotask.store import keys
from tempotask.store.connect import Server, may_pass
from tempotask.store.interrupts import packed
from tempotask.store.script import SCRIPTS, Argument
from tempotask.store.spin import Spin

IDLE_SECONDS = 30.0
"""How long an idle worker blocks before it takes another turn: a wake-up may have been lost in a dead connection."""
REFUSED_WITHIN = 1.0
"""Seconds after which a server that has not refused the length of an argument is taken to wait for it."""
ANSWER_WITHIN = 10.0
"""Seconds for which a worker waits for the answer to a turn, on a connection that may be half open. What it was told
and has not heard, it is told again."""


class Lost(Exception):
    """The connection broke, or no answer came in time: nobody knows whether the call took effect."""


def file_of(fd: int) -> tuple[int, int]:
    """Tells what is behind a descriptor from all else that may get its number; two zeros if nothing is."""
    try:
        found = os.fstat(fd)
    except OSError:
        return 0, 0
    return found.st_dev, found.st_ino


class Wire:
    """One connection to the server of a store. Opened by the first call, and again by the first after it broke.

    `patience` is how many seconds an answer may take, when the call itself does not wait. Who asks one thing after the
    other, and waits for each answer, may wait `awake` at first (spin.py).
    """

    def __init__(self, server: Server, namespace: str, patience: float, *, awake: bool = False) -> None:
        self._server = server
        self._ring = keys.ring(namespace)
        self._prefix = keys.prefix(namespace)
        self._patience = patience
        self._connection: AbstractConnection | None = None
        self._file = (0, 0)
        self._awake = awake
        self._spin: Spin | None = None

    def run(self, name: str, *arguments: Argument) -> Any:
        """Runs a script once. Raises `Lost`; other errors of the server pass through."""
        return self._run(name, arguments)[0]

    def wait(self, key: str, seconds: float) -> bytes | None:
        """Blocks on a list, named without the prefix, for what is handed over; None when the time is over."""
        reply = self._talk(("BLPOP", self._prefix + key, seconds), waits=seconds)[0]
        if reply is None:
            return None
        if not isinstance(reply, list) or reply[0] != (self._prefix + key).encode():
            self.spoilt(reply)
        return cast(bytes, reply[1])

    def spoilt(self, reply: Any) -> NoReturn:
        """To be called with a reply that answers something else, which somebody else wrote to this descriptor: what
        follows would be off by one. Raises `Lost`."""
        self.close()
        raise Lost(f"the reply {str(reply)[:100]} answers something else")

    def refused(self, size: int) -> bool:
        """Whether the server refuses an argument of so many bytes, as soon as it hears how long one is to be: none is
        sent. False also where it does not say."""
        connection = None
        try:
            connection = self._server.connection(timeout=REFUSED_WITHIN)
            connection.send_packed_command([f"*2\r\n$4\r\nECHO\r\n${size}\r\n".encode()], check_health=False)  # type: ignore[no-untyped-call]
            connection.read_response(disable_decoding=True)
        except redis.ResponseError as error:
            return "invalid bulk length" in str(error)
        except (redis.RedisError, OSError):
            return False
        finally:
            if connection is not None:
                connection.disconnect()  # type: ignore[no-untyped-call]
        return False

    def abandon(self) -> None:
        """In a forked child: the connection is the parent's, and nothing is ever sent again."""
        self._connection, self._patience = None, -1.0

    def close(self) -> None:
        """Drops the connection, with whatever is under way on it."""
        self._let_go_of_strange()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()  # type: ignore[no-untyped-call]

    def _run(self, name: str, arguments: tuple[Argument, ...], *behind: tuple[Argument, ...]) -> list[Any]:
        """Runs a script once, and commands behind it in the same round trip; the replies."""
        script = SCRIPTS[name]
        command = ("EVALSHA", script.sha, 1, self._ring, *arguments)
        try:
            return self._talk(command, *behind)
        except NoScriptError:
            # Restarted or flushed: the script did not run.
            self._call(("SCRIPT", "LOAD", script.text))
        try:
            return self._talk(command, *behind)
        except NoScriptError as error:
            # Flushed once more, between the two. It is nobody's mistake, and passes like a broken connection.
            raise Lost(str(error)) from error

    def _call(self, command: tuple[Argument, ...]) -> Any:
        return self._talk(command)[0]

    def _connect(self) -> AbstractConnection:
        return self._server.connection(timeout=self._patience)

    def _open(self) -> AbstractConnection:
        connection = self._connect()
        descriptor = _descriptor(connection)
        self._file, self._spin = file_of(descriptor), Spin(descriptor) if self._awake else None
        return connection

    def _let_go_of_strange(self) -> None:
        """A handler may have closed the connection's descriptor, and a connection of its own may have that number:
        what we send, and the end of it, must not go there."""
        connection = self._connection
        if connection is not None and file_of(_descriptor(connection)) != self._file:
            if (socket := connection._sock) is not None:
                socket.detach()
            connection._sock = self._connection = None

    def _talk(self, *commands: tuple[Argument, ...], waits: float = 0.0) -> list[Any]:
        """Sends commands in one go, and reads all their replies; raises for the first that is an error. `waits` is for
        how many seconds the server may let them wait."""
        try:
            if self._patience < 0:
                raise RuntimeError("a process that a handler forked is no worker")
            self._let_go_of_strange()
            if self._connection is None:
                self._connection = self._open()
            sent = [part for command in commands for part in packed(*command)]
            self._connection.send_packed_command(sent, check_health=False)  # type: ignore[no-untyped-call]
            if not waits:
                if self._spin is not None:
                    self._spin.wait()
                return [self._connection.read_response(disable_decoding=True) for _ in commands]
            return [self._read_late(self._connection, waits) for _ in commands]
        except ServerUnavailable:
            # The embedded server does not start. An OSError as well, and no connection that broke.
            raise
        except (redis.ConnectionError, redis.TimeoutError, OSError) as error:
            self.close()
            if isinstance(error, redis.RedisError) and not may_pass(error):
                # A wrong password counts as a broken connection with the library.
                raise
            raise Lost(str(error)) from error
        except NoScriptError:
            if len(commands) > 1:
                # What was sent behind it is answered too.
                self.close()
            raise
        except redis.ResponseError as error:
            # It may answer what somebody else wrote to this descriptor; then all that follows would be off by one.
            self.close()
            if may_pass(error):
                raise Lost(str(error)) from error
            raise
        except BaseException:
            # Interrupted half-way: what the next read found would answer another question.
            self.close()
            raise

    def _read_late(self, connection: AbstractConnection, seconds: float) -> Any:
        """A reply that may take so much longer than others; after one that does not come, the caller closes."""
        socket = connection._sock
        assert socket is not None
        socket.settimeout(seconds + self._patience)
        reply = connection.read_response(disable_decoding=True)
        socket.settimeout(self._patience)
        return reply


def _descriptor(connection: AbstractConnection) -> int:
    socket = connection._sock
    return -1 if socket is None else int(socket.fileno())
