"""What does a claim cost at 1 to 100,000 queues?

In each of them wait more jobs than a claim takes of one, and the batches are of one size. Where each queue holds a
single job no batch can be larger than the 16 queues that it takes from: that is told beside it.
"""

from __future__ import annotations

import contextlib

from benchmarks.growth.waiting import BATCH, Waiting, compared
from benchmarks.growth.work import drained
from benchmarks.harness import Bench, in_turns
from benchmarks.rows import Row, Spread, ratio, told

LARGE, LARGE_QUEUES = 960, 1_000
"""Jobs of a claim about as large as there are, and in how many queues wait enough for it."""
POINTS = (10, 100, 1_000, 10_000, 100_000)
QUICKLY = (LARGE_QUEUES, 10_000)
DEPTH = 14
"""Jobs in each queue where there are the most queues: a claim takes 12."""
SPARSE = 16
"""Jobs of a claim that finds one in each queue."""


def measure(bench: Bench) -> list[Row]:
    points = QUICKLY if bench.quick else POINTS
    return [*several_a_queue(bench, points), *one_a_queue(bench, points[-1]), by_supervisor(bench)]


def several_a_queue(bench: Bench, points: tuple[int, ...]) -> list[Row]:
    """The same number of jobs at each point, all on the server at once, so that claims alternate between two points."""
    count = points[-1] * DEPTH
    rounds, turns = bench.size(5, 3), bench.size(60, 10)
    rows = []
    with contextlib.ExitStack() as projects:
        one, *others = (Waiting(projects.enter_context(bench.project("noop")), count, n) for n in (1, *points))
        for queues, many in zip(points, others, strict=True):
            what = f"server time per claimed job, {BATCH} a claim: {count:,} waiting in {queues:,} queues, against 1"
            mine, other = compared(many, one, rounds, turns)
            if queues < points[-1]:
                rows.append(told(what, mine, other))
            else:
                rows.append(ratio(what, mine, other, 1.5, 1.25, more_is_better=False))
                settled = compared(many, one, rounds, turns, settle=True)
                rows.append(told(f"{what}; the batch before settled too", *settled))
            if queues == LARGE_QUEUES:
                large = what.replace(f"{BATCH} a claim", f"{LARGE} a claim")
                rows.append(told(large, *compared(many, one, rounds, turns // 2, LARGE)))
    return rows


def one_a_queue(bench: Bench, queues: int) -> list[Row]:
    """Each claimed job empties its queue."""
    rounds, turns = bench.size(5, 3), bench.size(200, 20)
    with bench.project("noop") as first, bench.project("noop") as second:
        one, many = Waiting(first, queues, 1), Waiting(second, queues, queues)
        what = f"{queues:,} queues of 1 job, against 1 queue of {queues:,}"
        return [
            told(f"server time per claimed job, {SPARSE} a claim: {what}", *compared(many, one, rounds, turns, SPARSE)),
            told(f"server memory per waiting job: {what}", Spread([many.bytes], "B"), Spread([one.bytes], "B")),
        ]


def by_supervisor(bench: Bench) -> Row:
    """All of a job but its enqueueing, with real workers, which ask for as many as they can do."""
    queues, count = bench.size(10_000, 1_000), bench.size(200_000, 20_000)

    def over(queues: int) -> float:
        with bench.project("noop", BENCHMARK_QUEUES=str(queues)) as project:
            return drained(project, count, queues).processor

    mine, others = in_turns(lambda: over(queues), lambda: over(1), bench.size(2, 1), "µs")
    what = f"server's processor time per job of a supervisor with 2 workers: {count:,} in {queues:,} queues, against 1"
    return told(what, mine, others)
