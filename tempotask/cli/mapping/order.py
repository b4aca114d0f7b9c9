"""The order of rows: those that come before their turn are held back until all before them are written."""

from __future__ import annotations

from typing import NamedTuple

HELD = 32 * 2**20
"""Bytes that are held back, after which no more inputs are taken."""


class Pieces(NamedTuple):
    """What is written for some inputs."""

    number: int
    rows: list[bytes]
    failures: list[bytes]

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(map(len, self.rows)) + sum(map(len, self.failures))


class Order:
    """Holds pieces back until it is their turn."""

    def __init__(self) -> None:
        self.written = 0
        """All inputs before this one have had their turn."""
        self._held: dict[int, Pieces] = {}
        self._bytes = 0

    def __bool__(self) -> bool:
        """Whether something is held back."""
        return bool(self._held)

    @property
    def full(self) -> bool:
        """Whether so much is held back that no more inputs are to be taken."""
        return self._bytes > HELD

    def hold(self, first: int, piece: Pieces) -> None:
        """Takes what is to be written for the inputs from that index on."""
        self._held[first] = piece
        self._bytes += piece.size

    def take(self) -> list[Pieces]:
        """Those whose turn it is."""
        found = []
        while (piece := self._held.pop(self.written, None)) is not None:
            self.written += piece.number
            self._bytes -= piece.size
            found.append(piece)
        return found
