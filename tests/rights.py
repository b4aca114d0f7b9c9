"""The user under which the tests run: with the rights that docs/security.md names, and no others."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "security.md"
USER, PASSWORD = "tempotask", "geheim-4711"


def rule(keys: str = "{*}:*") -> list[str]:
    """The rule of the page for that user, word by word, on keys of that pattern."""
    written = re.search(r"ACL SETUSER (tempotask .*?)```", PAGE.read_text(), re.DOTALL)
    assert written is not None, "the page has no rule"
    return [_filled(word, keys) for word in written[1].split()]


def _filled(word: str, keys: str) -> str:
    return f"~{keys}" if word.startswith("~") else word.replace("PASSWORD", PASSWORD)


def as_options() -> list[str]:
    """Options of a server that has that user beside its own."""
    return ["--user", *rule()]


def limited(url: str) -> str:
    """The URL of a server of the tests, for that user."""
    return url.replace("unix://", f"unix://{USER}:{PASSWORD}@")
