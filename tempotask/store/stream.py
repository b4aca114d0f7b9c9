"""Enqueue calls one ahead: the server adds a thousand jobs while the next thousand are being made."""

from __future__ import annotations

import redis
from redis.connection import AbstractConnection

from tempotask.store.addition import Addition
from tempotask.store.script import SCRIPTS, packed
from tempotask.store.store import Store


class Stream:
    """Sends enqueue calls, and reads the answer of each when the next is about to be sent.

    A call whose answer does not come is made again, patiently, as `Store.enqueue` would: the server remembers it.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._connection: AbstractConnection | None = None
        self._under_way: Addition | None = None

    def send(self, addition: Addition) -> None:
        """Sends a call. Nothing may be under way."""
        self._under_way = addition
        try:
            if self._connection is None:
                self._store.ask_leave()
                server = self._store.server
                self._connection = server.connection(timeout=server.connect_timeout)
            command = packed("EVALSHA", SCRIPTS["enqueue"].sha, 1, self._store.ring, *addition.arguments())
            self._connection.send_packed_command(command)  # type: ignore[no-untyped-call]
        except (redis.RedisError, OSError):
            self.close()

    def created(self) -> list[bool]:
        """Which jobs of the call under way were created; an empty list when there is none.

        Raises `ServerUnavailable`, `ServerFull`.
        """
        addition, self._under_way = self._under_way, None
        if addition is None:
            return []
        answer: bytes | None = None
        if self._connection is not None:
            try:
                answer = self._connection.read_response(disable_decoding=True)
            except (redis.RedisError, OSError):
                self.close()
            except BaseException:
                self.close()
                raise
        if answer is None:
            answer = self._store.run("enqueue", *addition.arguments())
        return addition.created(answer)

    def close(self) -> None:
        """Lets go of the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()  # type: ignore[no-untyped-call]


class DirectStream(Stream):
    """Calls that a store which has no server answers by itself."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._created: list[bool] = []

    def send(self, addition: Addition) -> None:
        """Makes the call."""
        self._created = addition.created(self._store.run("enqueue", *addition.arguments()))

    def created(self) -> list[bool]:
        """Which jobs of the last call were created."""
        created, self._created = self._created, []
        return created
