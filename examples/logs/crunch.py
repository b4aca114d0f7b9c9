"""What is in one log, as a plain function; and what is in all of them: python crunch.py rows.jsonl"""

from __future__ import annotations

import gzip
import json
import re
import sys
from collections import Counter
from datetime import datetime
from pathlib import Path

REQUEST = re.compile(r'^(\S+) \[(.+?)\] "GET (\S+)" (\d+) ([\d.]+)$', re.MULTILINE)


def summary(path: str) -> dict[str, int]:
    """A day: its requests, how many failed, how many people asked, which hour was the busiest."""
    text = gzip.decompress(Path(path).read_bytes()).decode()
    requests = failed = 0
    visitors: set[str] = set()
    hours: Counter[int] = Counter()
    for visitor, at, _, status, _ in REQUEST.findall(text):
        requests += 1
        failed += status >= "500"
        visitors.add(visitor)
        hours[datetime.strptime(at, "%Y-%m-%d %H:%M").hour] += 1
    return {"requests": requests, "failed": failed, "visitors": len(visitors), "busiest": hours.most_common(1)[0][0]}


def main(rows: str) -> None:
    """Adds up what the rows say of each day."""
    found = [json.loads(row) for row in Path(rows).read_text().splitlines()]
    days = {row["input"]: row["result"] for row in found}
    worst = max(sorted(days), key=lambda day: days[day]["failed"])
    busiest, _ = Counter(day["busiest"] for day in days.values()).most_common(1)[0]
    print(f"{len(found)} rows of {len(days)} days: {sum(day['requests'] for day in days.values())} requests")
    print(f"{sum(day['failed'] for day in days.values())} failed, most of a day in {worst}; busiest at {busiest}:00")


if __name__ == "__main__":
    main(sys.argv[1])
