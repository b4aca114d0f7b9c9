"""Hashing and compressing files.

What was compressed is not written: the pace of a disk is nobody's merit.
"""

from __future__ import annotations

import hashlib
import random
import zlib
from pathlib import Path

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def make(folder: Path, count: int, size: int) -> list[str]:
    """So many files of so many bytes, parts of one long text; their paths."""
    chance = random.Random(size)
    words = ["".join(chance.choices(LETTERS, k=chance.randint(2, 10))) for _ in range(5_000)]
    text = " ".join(chance.choices(words, k=size)).encode()
    paths = []
    for number in range(count):
        path = folder / f"{size}-{number}.txt"
        start = chance.randrange(len(text) - size)
        path.write_bytes(text[start : start + size])
        paths.append(str(path))
    return paths


def work(path: str) -> list[str | int]:
    """The file's hash, and its size when it is compressed."""
    content = Path(path).read_bytes()
    return [hashlib.sha256(content).hexdigest(), len(zlib.compress(content))]
