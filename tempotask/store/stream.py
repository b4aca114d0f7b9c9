"""Enqueue calls one ahead: the server adds a thousand jobs while the next thousand are being made."""

from __future__ import annotations

import redis
from redis.connection import AbstractConnection

from tempotask.store.addition import Addition
from tempotask.store.interrupts import packed
from tempotask.store.script import SCRIPTS
from tempotask.store.store import Store


class Stream:
    """Sends enqueue calls, and reads the answer of each when the next is about to be sent.

    A call whose answer does not come, or that is not as durable as it is to be, is made again, patiently, as
    `Store.enqueue` would: the server remembers it.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._connection: AbstractConnection | None = None
        self._under_way: Addition | None = None

    def send(self, addition: Addition, *, last: bool = False) -> None:
        """Sends a call. Nothing may be under way. A first one that is the `last` is left to the store, which has a
        connection."""
        self._under_way = addition
        if last and self._connection is None:
            return
        try:
            if self._connection is None:
                self._store.check_access()
                server, durability = self._store.server, self._store.durability
                opened = server if durability is None else durability
                self._connection = opened.connection(timeout=server.connect_timeout)
            arguments = addition.arguments(self._store.remembered)
            command = packed("EVALSHA", SCRIPTS["enqueue"].sha, 1, self._store.ring, *arguments)
            if self._store.durability is not None:
                command += packed(*self._store.durability.wait)
            self._connection.send_packed_command(command)  # type: ignore[no-untyped-call]
        except (redis.RedisError, OSError):
            self.close()
        except BaseException:
            # What was not sent as a whole is not in, and nobody is to wait for an answer to it.
            self.close()
            self._under_way = None
            raise

    def created(self) -> list[bool]:
        """Which jobs of the call under way were created; an empty list when there is none.

        Raises `ServerFull` and what `Store.durably` does.
        """
        addition, self._under_way = self._under_way, None
        if addition is None:
            return []
        answer: bytes | None = None
        if self._connection is not None:
            try:
                answer = self._read(self._connection)
            except (redis.RedisError, OSError):
                self.close()
            except BaseException:
                self.close()
                raise
        return self._store.add(addition) if answer is None else addition.created(answer)

    def _read(self, connection: AbstractConnection) -> bytes | None:
        """The answer of the call under way; None if it is not as durable as it is to be."""
        answer: bytes = connection.read_response(disable_decoding=True)
        durability = self._store.durability
        if durability is not None and not durability.reached(connection.read_response(disable_decoding=True)):
            return None
        return answer

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

    def send(self, addition: Addition, *, last: bool = False) -> None:
        """Makes the call."""
        self._created = self._store.add(addition)

    def created(self) -> list[bool]:
        """Which jobs of the last call were created."""
        created, self._created = self._created, []
        return created
