"""What a server holds, as text and numbers."""

from __future__ import annotations

import re


def text(told: bytes) -> str:
    """A name, say; what is no UTF-8 in it is spelt out, as `\\xff`."""
    return told.decode(errors="backslashreplace")


def number(told: str | None) -> int:
    """A counter; 0 for one that is not there or no number."""
    return int(told) if told and re.fullmatch("-?[0-9]{1,18}", told) else 0
