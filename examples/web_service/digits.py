"""The application: digits of π, one after the other. Its pool: tempotask-supervisor digits:tempotask"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from tempotask import Context, Job, QueueManager

tempotask = QueueManager.init(
    namespace="web-service",
    # Who waits for a page is told soon that the server is away.
    options={"connect_timeout": 2},
)


def digits_of_pi() -> Iterator[int]:
    """All of them, each a little later than the one before (after Jeremy Gibbons' unbounded spigot)."""
    q, r, t, k, n, m = 1, 0, 1, 1, 3, 3
    while True:
        if 4 * q + r - t < n * t:
            yield n
            q, r, n = 10 * q, 10 * (r - n * t), 10 * (3 * q + r) // t - 10 * n
        else:
            q, r, t, k, n, m = q * k, (2 * q + r) * m, t * m, k + 1, (q * (7 * k + 2) + r * m) // (t * m), m + 2


@tempotask.task(queue="digits", timeout=300)
def pi(job: Job[int], ctx: Context[Any]) -> str:
    """The first so many digits of π."""
    found = ""
    for digit in itertools.islice(digits_of_pi(), job.data):
        found += str(digit)
        if len(found) % 100 == 0 or len(found) == job.data:
            job.progress(len(found), job.data)
    return found
