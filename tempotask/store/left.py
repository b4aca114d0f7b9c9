"""Left: what stays behind when all is done that would run now."""

from __future__ import annotations

from typing import NamedTuple

from tempotask.store.lists import counts
from tempotask.store.store import Store
from tempotask.store.values import number, text


class Left(NamedTuple):
    """How many jobs nobody runs for now."""

    paused: int
    """On their own, or with their queue."""
    delayed: int
    """By who added them."""
    schedules: int
    """Which make jobs of their own, later."""

    @property
    def clause(self) -> str:
        """For the end of a line of a log; empty if there are none."""
        told = [f"{number} {what}" for number, what in ((self.paused, "paused"), (self.delayed, "delayed")) if number]
        one = self.paused + self.delayed == 1
        jobs = f"; {' and '.join(told)} {'job is' if one else 'jobs are'} left" if told else ""
        many = "1 schedule goes" if self.schedules == 1 else f"{self.schedules} schedules go"
        return f"{jobs}; {many} on" if self.schedules else jobs


def left_in(store: Store) -> Left:
    """What is not waited for by those who wait until all is done. Raises `ServerUnavailable`."""
    parked, paused, delayed, schedules = store.read_many(
        [("HLEN", "parked"), ("SMEMBERS", "paused"), ("ZCARD", "due"), ("HLEN", "schedules")]
    )
    keys = [key for one in counts(store, sorted(map(text, paused))) for key in one.keys]
    lengths = store.read_many([("LLEN", key) for key in keys])
    holes = store.read_many([("HGET", f"counts:{text(queue)}", "holes") for queue in paused])
    behind = sum(lengths) - sum(number(text(told or b"")) for told in holes)
    return Left(parked + max(0, behind), delayed, schedules)
