"""What the bytes of a keyboard mean."""

from __future__ import annotations

import re

UP, DOWN, TAB, ESCAPE = "up", "down", "tab", "escape"
NAMED = {"k": UP, "\x1b[A": UP, "\x1bOA": UP, "j": DOWN, "\x1b[B": DOWN, "\x1bOB": DOWN, "\t": TAB, "\x1b": ESCAPE}
"""Keys that have a name; the others are called by what they write."""
_KEY = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1bO.|\x1b(?=.)|[^\x1b]", re.DOTALL)
_UNFINISHED = re.compile(r"\x1b(\[[0-?]*[ -/]*|O)?\Z")


class Keys:
    """Takes keys out of what is read from a terminal, in which one may come in pieces."""

    def __init__(self) -> None:
        self._left = ""

    def pressed(self, read: bytes) -> list[str]:
        """The keys that are complete now. An escape alone is one when it is all that was read."""
        told = self._left + read.decode(errors="replace")
        self._left = ""
        if told == "\x1b":
            return [ESCAPE]
        if (rest := _UNFINISHED.search(told)) is not None:
            told, self._left = told[: rest.start()], rest[0]
        return [NAMED.get(key, key) for key in _KEY.findall(told)]
