"""Interrupts: a signal's handler may raise anywhere, as at Ctrl-C or when a job's time is over, also in the libraries
that we talk to the server with. What they do not stand is kept from them here."""

from __future__ import annotations

from typing import Any

from hiredis import pack_command
from redis.connection import AbstractConnection

from tempotask.store.script import Argument


def packed(*command: Argument) -> list[bytes]:
    """A command as it goes over the wire, for `send_packed_command`."""
    # hiredis is given no numbers: it asks them for their text, which lets signals in, and if the handler of one raises
    # then, it goes on with what it did not get, and the process dies.
    told = [part if type(part) is bytes or type(part) is str else _told(part) for part in command]
    return [pack_command(tuple(told))]  # type: ignore[arg-type]


def _told(part: Any) -> bytes:
    """An argument of another type as the server gets it."""
    return bytes(part) if isinstance(part, bytes | bytearray | memoryview) else str(part).encode()


class Packer:
    """`packed`, for what redis-py sends by itself: the `command_packer` of its connections."""

    def pack(self, *command: Argument) -> list[bytes]:
        """A command as it goes over the wire; its name may be two words, as CLUSTER INFO."""
        name, *rest = command
        words = name.split() if isinstance(name, str | bytes) else [name]
        return packed(*words, *rest)


def whole(kind: type[AbstractConnection]) -> type[AbstractConnection]:
    """That kind of connection, but one that could not be opened, for whatever reason, is closed: redis-py leaves it
    half open, and takes it for one that works."""
    return type(f"Whole{kind.__name__}", (_Whole, kind), {})


class _Whole:
    def connect(self: Any) -> None:
        try:
            super().connect()  # type: ignore[misc]
        except BaseException:
            self.disconnect()
            raise
