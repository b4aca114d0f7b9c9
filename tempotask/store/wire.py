"""A connection of one's own: one, for one thread at a time, with as little between it and the socket as there can be.

Nothing is tried again here. Whether a call that broke took effect is not known, and what to do about that is the
protocol's business: a turn goes out again under a higher number, a wait is never repeated.
"""

from __future__ import annotations

from typing import Any, cast

import redis
from redis.connection import AbstractConnection
from redis.exceptions import NoScriptError

from tempotask.store import keys
from tempotask.store.connect import Server, may_pass
from tempotask.store.script import SCRIPTS, Argument, packed


class Lost(Exception):
    """The connection broke, or no answer came in time: nobody knows whether the call took effect."""


class Wire:
    """One connection to the server of a store. Opened by the first call, and again by the first after it broke.

    `patience` is how many seconds an answer may take, when the call itself does not wait.
    """

    def __init__(self, server: Server, namespace: str, patience: float) -> None:
        self._server = server
        self._ring = keys.ring(namespace)
        self._prefix = keys.prefix(namespace)
        self._patience = patience
        self._connection: AbstractConnection | None = None

    def run(self, name: str, *arguments: Argument) -> Any:
        """Runs a script once. Raises `Lost`; other errors of the server pass through."""
        script = SCRIPTS[name]
        command = ("EVALSHA", script.sha, 1, self._ring, *arguments)
        try:
            return self._call(command)
        except NoScriptError:
            # Restarted or flushed: the script did not run.
            self._call(("SCRIPT", "LOAD", script.text))
            return self._call(command)

    def wait(self, key: str, seconds: float) -> bytes | None:
        """Blocks on a list, named without the prefix, for what is handed over; None when the time is over."""
        reply = self._call(("BLPOP", self._prefix + key, seconds))
        return cast(bytes, reply[1]) if reply else None

    def abandon(self) -> None:
        """In a forked child: the connection is the parent's, and nothing is ever sent again."""
        self._connection, self._patience = None, -1.0

    def close(self) -> None:
        """Drops the connection, with whatever is under way on it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()  # type: ignore[no-untyped-call]

    def _call(self, command: tuple[Argument, ...]) -> Any:
        try:
            if self._patience < 0:
                raise RuntimeError("a process that a handler forked is no worker")
            if self._connection is None:
                self._connection = self._server.connection(timeout=self._patience)
            self._connection.send_packed_command(packed(*command), check_health=False)  # type: ignore[no-untyped-call]
            return self._connection.read_response(disable_decoding=True)
        except (redis.ConnectionError, redis.TimeoutError, OSError) as error:
            self.close()
            if isinstance(error, redis.RedisError) and not may_pass(error):
                # A wrong password counts as a broken connection with the library.
                raise
            raise Lost(str(error)) from error
        except NoScriptError:
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


IDLE_SECONDS = 30.0
"""How long an idle worker blocks before it takes another turn: a wake-up may have been lost in a dead connection."""
ANSWER_WITHIN = IDLE_SECONDS + 10.0
