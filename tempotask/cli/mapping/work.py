"""What a map does with each input, as its workers are told it."""

from __future__ import annotations

import hashlib
import re

import msgspec

VARIABLE = "TEMPOTASK_MAP"
"""The environment variable in which workers find it."""
QUEUE = "map"
GRACE = 30.0
"""Seconds that a stop waits for inputs that are being worked on."""
LARGEST = 8 * 2**20
"""Bytes of an input, and of a row, at most."""


class Work(msgspec.Struct, frozen=True):
    """One function, or one shell command, and how inputs and results are written."""

    function: str = ""
    """`module:attribute` or `script.py:attribute`; empty for a shell command."""
    shell: str = ""
    """The command with its placeholders."""
    jsonl: bool = False
    """Whether each input is JSON."""
    bare: bool = False
    """Whether rows are the result alone."""
    attempts: int = 1
    timeout: float | None = None

    @property
    def name(self) -> str:
        """The name of its task. Jobs that an earlier command left behind run only if they are of the same work."""
        spelt = re.sub(r"[^A-Za-z0-9._\-:/]", "_", self.function)[-150:] or "shell"
        told = f"{self.shell}\0{self.jsonl}\0{self.bare}".encode(errors="surrogateescape")
        kind = hashlib.blake2b(told, digest_size=4)
        return f"{spelt}/{kind.hexdigest()}" if self.shell or self.jsonl or self.bare else spelt

    @property
    def one_by_one(self) -> bool:
        """Whether each input must be a job of its own: tries and time limits are counted by job."""
        return self.attempts > 1 or self.timeout is not None

    def encode(self) -> str:
        """For `VARIABLE`."""
        return msgspec.json.encode(self).decode()
