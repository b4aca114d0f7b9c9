"""Do queues that all have work get the same, however late their jobs were added?"""

from __future__ import annotations

from benchmarks.harness import Bench, Failed
from benchmarks.rows import Row, Spread, at_most

WINDOW = 300


def starts(bench: Bench, number: int, seconds: float) -> str:
    """The letters of the queues in the order in which jobs were started; one queue is enqueued after the other."""
    with bench.project("busy") as project:
        for queue in "abc":
            project.producer.enqueue_many({"name": "note", "queue": queue, "data": seconds} for _ in range(number))
        project.drain()
        order = (project.folder / "starts").read_text()
    if len(order) != 3 * number:
        raise Failed(f"{len(order):,} starts of {3 * number:,} jobs")
    return order


def furthest(order: str) -> int:
    """How far any queue's part of any 300 consecutive starts is from its third."""
    return max(
        abs(order.count(queue, at, at + WINDOW) - WINDOW // 3)
        for queue in "abc"
        for at in range(len(order) - WINDOW + 1)
    )


def measure(bench: Bench) -> list[Row]:
    rows = []
    for what, seconds in (("no-op", 0.0), ("1 ms", 0.001)):
        off = [float(furthest(starts(bench, 1000, seconds))) for _ in range(bench.rounds)]
        rows.append(
            at_most(
                f"3 queues of 1,000 {what} jobs: any 300 starts hold 100 ± of each", Spread(off), 10, 3, figure=max(off)
            )
        )
    return rows
