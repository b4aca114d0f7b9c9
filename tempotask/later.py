"""Names that the interface promises and that are not built yet: asking for one says so."""

from __future__ import annotations

PACKAGE = frozenset({"Backoff"})


def missing(owner: str, name: str, promised: frozenset[str]) -> AttributeError:
    """The error for an attribute that is not there."""
    if name in promised or name.removeprefix("a") in promised:
        return AttributeError(f"{name} is not built yet")
    return AttributeError(f"{owner} has no attribute {name!r}")
