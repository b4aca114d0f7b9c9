"""The format in which a namespace is written: its keys, records and pages, as a whole.

What is written first leaves the number of its format (format.lua), and who comes looks at it before anything else. A
namespace in a newer format is left alone, since this version would take for lost or broken what it does not know. An
older one is read as it is, and so is one without a number. The number goes up when this version can't read any more
what the next one writes: fields that are added at the end of a record are no new format.
"""

from __future__ import annotations

FORMAT = 2
"""What this version writes, and the newest that it reads."""


def refusal(namespace: str, where: str, found: str) -> str | None:
    """Why a namespace with this number (empty for none) can't be used; None if it can."""
    if not found or (found.isascii() and found.isdigit() and int(found[:9]) <= FORMAT and len(found) < 10):
        return None
    return (
        f"namespace {namespace!r} at {where} was written by a TempoTask with format {found[:20]}, and this one reads "
        f"formats up to {FORMAT}: upgrade TempoTask here, or give another namespace"
    )
