"""Durability: what must hold of a change before the call that made it returns.

`memory`: the server has it. `disk`: its append-only file was synced. The server must be one that does so after each
write; that it did, also while it rewrites its file, is what `WAITAOF` says. `replica`: a replica has it in memory too
(`WAIT`). Whether that has written it down is not asked: so it holds against the loss of one machine, costs no more than
a message there and back, and needs no append-only file anywhere.

The wait goes out behind the script, on its connection and in its round trip: the server waits for the last write of
the connection itself. A call that is sent again on a new connection therefore writes something in any case (once.lua).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Literal, NoReturn

from redis.connection import AbstractConnection
from redis.exceptions import ResponseError

from tempotask.errors import InvalidOptions, NotDurable
from tempotask.store.connect import Server
from tempotask.store.interrupts import packed
from tempotask.store.script import Argument
from tempotask.store.wire import Lost, Wire

Kind = Literal["memory", "disk", "replica"]
KINDS: tuple[Kind, ...] = ("memory", "disk", "replica")

ALWAYS = "`CONFIG SET appendfsync always`, then `CONFIG REWRITE`"
"""Not by a restart: a server that is started with an append-only file for the first time reads no other file, so that
all its jobs would be gone."""
OLDEST_WAITAOF = (7, 2)
"""The version of Redis that has `WAITAOF`; every Valkey has it."""


class Durability:
    """What calls wait for on one server: `disk` or `replica`."""

    def __init__(self, server: Server, kind: Kind) -> None:
        self.kind = kind
        self._server = server
        self._replicated = False
        # Shorter than a connection's patience: one that broke silently is noticed, and not taken for a slow disk.
        slice = max(1, int(server.connect_timeout * 250))
        self.wait: tuple[Argument, ...] = ("WAITAOF", 1, 0, slice) if kind == "disk" else ("WAIT", 1, slice)
        """The command that waits; it answers after a quarter of the connect timeout whether or not it is reached."""

    def connection(self, timeout: float) -> AbstractConnection:
        """A fresh connection, on which one may wait; `timeout` (seconds) is its socket's.

        Raises `InvalidOptions` when the server can't do what is asked for, and what the client library raises.
        """
        made = self._server.connection(timeout=timeout)
        try:
            self._prepare(made)
        except BaseException:
            made.disconnect()  # type: ignore[no-untyped-call]
            raise
        return made

    def reached(self, reply: Any) -> bool:
        """What the wait answered."""
        return int(reply[0] if self.kind == "disk" else reply) > 0

    def missed(self, answer: bytes) -> NotDurable:
        """The error for a change that is made, and was waited for too long; `answer` is what its script answered."""
        if self.kind == "disk":
            lacks = "had not synced its append-only file"
            after = "should it lose its power now, this is lost; see what ails its disk, and whether appendfsync is off"
        else:
            lacks = "no replica said so too"
            after = "should its machine be lost now, this is lost; see what ails its replicas"
        patience = f"within {self._server.connect_timeout:g} s (connect_timeout)"
        return NotDurable(f"the server at {self._server.label} has it, but {lacks} {patience}: {after}", answer)

    def _prepare(self, connection: AbstractConnection) -> None:
        """Refuses a server that can't, before anything is changed."""
        info = _fields(_ask(connection, "INFO"))
        if self.kind == "replica":
            # One that was there and is not, after a failover say, is waited for.
            self._replicated = self._replicated or int(info.get("connected_slaves", 0)) > 0
            if not self._replicated:
                own = "name a server of your own that has one" if self._server.is_embedded else ""
                self._refuse("it has no replica", own or "attach one (`replicaof` in the other's configuration)")
            return
        version = info.get("redis_version", "0.0")
        if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_WAITAOF:
            self._refuse(f"Redis {version} has no WAITAOF", "use Redis 7.2 or newer, or Valkey")
        if info.get("aof_enabled") != "1":
            self._refuse("it has no append-only file", f"while it runs, `CONFIG SET appendonly yes` and {ALWAYS}")
        self._sync_each_write(connection)

    def _sync_each_write(self, connection: AbstractConnection) -> None:
        """Where a file is synced once a second, Valkey 9.1 and Redis 7.4 answer `WAITAOF` before they have done so."""
        try:
            synced = _ask(connection, "CONFIG", "GET", "appendfsync")[1].decode()
        except ResponseError:
            self._refuse("our user may not ask how it syncs its append-only file", "allow that user `+config|get`")
        if synced != "always" and self._server.is_embedded:
            _ask(connection, "CONFIG", "SET", "appendfsync", "always")
        elif synced != "always":
            often = "only once a second" if synced == "everysec" else "not at all"
            self._refuse(f"it syncs its append-only file {often}", f"while it runs, {ALWAYS}")

    def _refuse(self, why: str, instead: str) -> NoReturn:
        raise InvalidOptions(
            f"durability={self.kind!r} is more than the server at {self._server.label} can do: {why}; {instead}, "
            f"or set another durability ({', '.join(kind for kind in KINDS if kind != self.kind)})"
        )


class DurableWire(Wire):
    """A connection on which a call returns when what it changed is as durable as it is to be."""

    def __init__(self, server: Server, namespace: str, patience: float, durability: Durability) -> None:
        super().__init__(server, namespace, patience)
        self._durability = durability

    def run(self, name: str, *arguments: Argument) -> Any:
        """Runs a script once, and waits. Raises `Lost`, and `NotDurable` with its `answer` when the wait is in vain;
        other errors of the server pass through."""
        durability, end = self._durability, time.monotonic() + self._server.connect_timeout
        answer, reply = self._run(name, arguments, durability.wait)
        connection = self._connection
        while not durability.reached(reply):
            if time.monotonic() >= end:
                raise durability.missed(answer)
            reply = self._call(durability.wait)
            if self._connection is not connection:
                raise Lost("the connection is another one, which has written nothing that it could wait for")
        return answer

    def _connect(self) -> AbstractConnection:
        return self._durability.connection(self._patience)


def _ask(connection: AbstractConnection, *command: Argument) -> Any:
    connection.send_packed_command(packed(*command), check_health=False)  # type: ignore[no-untyped-call]
    return connection.read_response(disable_decoding=True)


def _fields(told: bytes) -> Mapping[str, str]:
    lines = (line.partition(":") for line in told.decode(errors="replace").splitlines())
    return {name: value for name, colon, value in lines if colon}
