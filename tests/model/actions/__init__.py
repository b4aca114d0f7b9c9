"""What can happen next, told by who does it. A move is in words, of a kind, and leads to another state."""

from __future__ import annotations

from collections.abc import Iterator

from model.state import State

PROGRESS, FALLBACK, FAULT = 0, 1, 2
"""PROGRESS happens sooner or later; FALLBACK too, but only after so long that nothing may depend on it where nothing
broke; FAULT need not happen."""

Move = tuple[str, int, State]
Moves = Iterator[Move]
