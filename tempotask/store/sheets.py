"""Sheets: the outcomes of one turn in one piece, as long as nobody asks for one of them.

To spread outcomes over a hash takes the server longer than all else that it does for a short job. So it keeps the sheet
as it is, until somebody asks (outcomes.lua, ask.lua). A sheet begins with what scripts read of it in passing: how many
outcomes it has, and how many bytes they are together. Behind that stand, in MessagePack, the ids and the length of each
outcome, and behind that the outcomes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import cast

import msgspec

from tempotask.store.records import encode
from tempotask.store.script import Argument

_HEAD = struct.Struct(">II")
MARK = b"\0"
"""What a sheet begins with, and no id."""
_decode = msgspec.msgpack.Decoder(tuple[list[str], list[int]]).decode


def sheet(endings: Sequence[Argument]) -> bytes:
    """A sheet of id, encoded outcome, id, encoded outcome ..."""
    outcomes = cast("Sequence[bytes]", endings[1::2])
    body, lengths = b"".join(outcomes), list(map(len, outcomes))
    return b"".join((_HEAD.pack(len(lengths), len(body)), encode(endings[::2]), encode(lengths), body))


def head(stored: bytes) -> tuple[int, int]:
    """How many outcomes a sheet has, and how many bytes they are, by the beginning of what is stored; zeros for what is
    no sheet."""
    number, size = _HEAD.unpack_from(stored) if len(stored) >= _HEAD.size else (0, 0)
    return number, size


def opened(stored: bytes) -> Iterator[tuple[str, bytes]]:
    """Id and encoded outcome of each job of a sheet. Raises `ValueError` for what is no sheet."""
    _, size = head(stored)
    at = len(stored) - size
    ids, lengths = _decode(b"\x92" + stored[_HEAD.size : at])
    for id, length in zip(ids, lengths, strict=True):
        yield id, stored[at : at + length]
        at += length
