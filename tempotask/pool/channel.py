"""The socket pair between a supervisor and its nursery: messages in order, with descriptors if need be."""

from __future__ import annotations

import array
import os
import socket
import struct
from collections.abc import Sequence

import msgspec

from tempotask.pool.report import Message

_HEADER = struct.Struct("!IB")  # the size of the message, and how many descriptors come with it
_MOST_FDS = 4
_NOW = socket.MSG_DONTWAIT | getattr(socket, "MSG_CMSG_CLOEXEC", 0)


class Channel:
    """One end of a stream of messages.

    Reads exactly what belongs to one message and nothing after it, so that a process may hand its end to the program
    that takes its place. Descriptors come in the order in which they were sent, never later than their message.
    """

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._socket.setblocking(True)
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(Message)
        self._part = b""
        self._fds: list[int] = []

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, message: Message, fds: Sequence[int] = ()) -> None:
        """Sends a message, and copies of the descriptors with it. Raises `OSError` when the other side is gone."""
        body = self._encoder.encode(message)
        frame = _HEADER.pack(len(body), len(fds)) + body
        sent = socket.send_fds(self._socket, [frame], fds)
        if sent < len(frame):
            self._socket.sendall(memoryview(frame)[sent:])

    def receive(self) -> tuple[Message, list[int]] | None:
        """The next message and its descriptors, or `None` when it has not (all) come yet.

        Raises `EOFError` when the other side is gone and everything that it sent has been read.
        """
        while True:
            missing = _HEADER.size - len(self._part)
            if missing <= 0:
                size, count = _HEADER.unpack_from(self._part)
                missing += size
                if missing == 0:
                    message = self._decoder.decode(self._part[_HEADER.size :])
                    fds, self._fds = self._fds[:count], self._fds[count:]
                    self._part = b""
                    return message, fds
            try:
                data, fds = self._read(missing)
            except BlockingIOError:
                return None
            except ConnectionError:
                data, fds = b"", []
            self._fds += fds
            if not data:
                raise EOFError("the other end of the channel is closed")
            self._part += data

    def _read(self, size: int) -> tuple[bytes, list[int]]:
        # By hand, because `socket.recv_fds` of Python 3.11 does not pass its flags on.
        fds = array.array("i")
        data, extra, _, _ = self._socket.recvmsg(size, socket.CMSG_SPACE(_MOST_FDS * fds.itemsize), _NOW)
        for level, kind, content in extra:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(content[: len(content) // fds.itemsize * fds.itemsize])
        return data, list(fds)

    def close(self) -> None:
        self._socket.close()
        for fd in self._fds:
            os.close(fd)
        self._fds = []
