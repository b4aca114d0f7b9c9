"""Whether what is printed looks like what a page shows."""

from __future__ import annotations

import re

AUTOMATIC_ID = re.compile(r"\b[0-9a-z]{15}-\d+\b")
NUMBER = re.compile(r"\d+([.,:/-]\d+)*")


def looks_like(seen: str, shown: str) -> bool:
    """Numbers, ids and the width of gaps may differ; `…` stands for anything, alone in a line for any lines."""
    pattern = "".join(r"(.*\n)*" if line == "…" else _pattern(line) for line in _lines(shown))
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in _lines(seen))) is not None


def _lines(text: str) -> list[str]:
    """Without what may differ."""
    same = NUMBER.sub("0", AUTOMATIC_ID.sub("id-0", text)).replace('"', "'")
    return [" ".join(line.split()) for line in same.strip().splitlines()]


def _pattern(line: str) -> str:
    return ".*".join(re.escape(part) for part in line.split("…")) + "\n"
