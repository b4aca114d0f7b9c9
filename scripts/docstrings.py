"""Makes lists of what our docstrings write as lines, so that the site shows them as such: see mkdocs.yml."""

from __future__ import annotations

import re
from typing import Any

import griffe

RAISES = re.compile(r"^Raises:\n((?:    .+\n?)+)", re.MULTILINE)
ERRORS = re.compile(r"\w+(?:, \w+)*(?=: )")
FIELD = re.compile(r"`\w+`(?:, `\w+`)*: ")


def as_markdown(text: str) -> str:
    """The same docstring, in which errors, and fields (lines that begin with `` `name`: ``), are items of lists."""
    return _fields(RAISES.sub(_errors, text))


def _errors(match: re.Match[str]) -> str:
    """The lines under `Raises:`, where one that is indented further goes on with the one before it."""
    items = [" ".join(item.split()) for item in re.split(r"\n(?=    \S)", match[1])]
    return "\n".join(["**Raises**", "", *(f"- {ERRORS.sub(_as_code, item, count=1)}" for item in items), ""])


def _as_code(names: re.Match[str]) -> str:
    return ", ".join(f"`{name}`" for name in names[0].split(", "))


def _fields(text: str) -> str:
    lines: list[str] = []
    inside = False
    for line in text.splitlines():
        begins = FIELD.match(line) is not None
        if begins and not inside:
            lines.append("")
        inside = begins or (inside and line != "")
        lines.append(f"- {line}" if begins else f"  {line}" if inside else line)
    return "\n".join(lines)


class Lists(griffe.Extension):
    """Hands each docstring on as Markdown."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)
