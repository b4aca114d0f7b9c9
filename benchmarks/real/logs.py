"""Searching the logs of a web server with a regular expression."""

from __future__ import annotations

import random
import re
from collections import Counter
from pathlib import Path

LINE = re.compile(
    r'(?P<host>\S+) \S+ \S+ \[(?P<at>[^\]]+)\] "(?P<method>[A-Z]+) (?P<path>[^ "]+) [^"]*" '
    r"(?P<status>\d{3}) (?P<bytes>\d+|-)"
)
DIFFERENT = 20_000
"""So many lines are made; each log has some of them."""


def make(folder: Path, count: int, size: int) -> list[str]:
    """So many logs of so many lines; their paths."""
    chance = random.Random(size)
    lines = [line(chance) for _ in range(DIFFERENT)]
    paths = []
    for number in range(count):
        path = folder / f"{size}-{number}.log"
        path.write_text("".join(chance.choices(lines, k=size)))
        paths.append(str(path))
    return paths


def line(chance: random.Random) -> str:
    host = f"10.{chance.randrange(8)}.{chance.randrange(256)}.{chance.randrange(256)}"
    at = f"{chance.randint(1, 28):02d}/Feb/2024:{chance.randrange(24):02d}:{chance.randrange(60):02d}:00 +0000"
    path = f"/{chance.choice(('images', 'users', 'search'))}/{chance.randrange(1000)}"
    status = chance.choice((200, 200, 200, 200, 304, 404, 500))
    return f'{host} - - [{at}] "GET {path} HTTP/1.1" {status} {chance.randrange(50_000)} "-" "curl/8.5.0"\n'


def work(path: str) -> list[int | dict[str, int]]:
    """How many lines of each status there are, how many bytes went out, and how many pages were not found."""
    statuses: Counter[str] = Counter()
    missing: set[str] = set()
    sent = 0
    for match in LINE.finditer(Path(path).read_text()):
        status = match["status"]
        statuses[status] += 1
        if status == "404":
            missing.add(match["path"])
        if match["bytes"] != "-":
            sent += int(match["bytes"])
    return [dict(sorted(statuses.items())), sent, len(missing)]
