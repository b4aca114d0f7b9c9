"""Makes the logs of this example, always the same: 80 days of a web server, a compressed file for each."""

from __future__ import annotations

import gzip
import random
from datetime import date, timedelta
from pathlib import Path

FOLDER = Path("days")
DAYS = 80
LINES = 3000
PAGES = ("/", "/search", "/cart", "/login", "/help", "/news")


def lines(day: date, chance: random.Random) -> list[str]:
    """A day's requests: who, when, which page, its status, its milliseconds."""
    made = []
    for _ in range(LINES):
        luck, minute = chance.random(), int(chance.triangular(0, 1440, 900))
        status = 500 if luck < 0.01 else 404 if luck < 0.05 else 200
        made.append(
            f"visitor-{chance.randrange(1000)} [{day} {minute // 60:02}:{minute % 60:02}] "
            f'"GET {chance.choice(PAGES)}" {status} {100 * luck:.1f}\n'
        )
    return made


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    chance, first = random.Random(6), date(2026, 1, 1)
    for number in range(DAYS):
        day = first + timedelta(number)
        # Without a time of its own, the file is the same each time.
        with gzip.GzipFile(FOLDER / f"{day}.log.gz", "wb", mtime=0) as file:
            file.write("".join(lines(day, chance)).encode())
    print(f"{DAYS} files of {LINES} lines in {FOLDER}/")


if __name__ == "__main__":
    main()
