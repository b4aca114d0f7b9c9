"""Orders: what others leave for a supervisor on its list, and how it reads them.

    due <ms>                                   something is due earlier than was known
    cancel <worker> <turn> <index> <record>    the job of that index was cancelled: the server holds it no more
    steal                                      a queue was paused: what has not started goes back
    stacks <key>                               the Python stacks of the workers are to be pushed to that list
    look <ms>                                  for so long it is to be told every second how the workers stand

Scripts leave the first three, `tempotask stacks` and `tempotask top` the last two.
"""

from __future__ import annotations

from dataclasses import dataclass

from tempotask.store.records import Record, decode_record


@dataclass(frozen=True)
class Cancel:
    """The job that a worker has at an index of a turn is to end, or not to start."""

    turn: str
    """As the store names it."""
    index: int
    grace: float
    """Seconds that its handler may take to end."""
    job: Record | None = None
    """None when the order was lost, and only the hole in the claims has told."""

    @property
    def number(self) -> int:
        """The number of the turn."""
        return int(self.turn.partition("@")[0])


def read_cancel(value: bytes) -> tuple[str, str, int, Record]:
    """Worker, turn, index and record, from what follows `cancel`. Raises `ValueError` or msgspec's errors."""
    worker, turn, index, record = value.split(b" ", maxsplit=3)
    return worker.decode(), turn.decode(), int(index), decode_record(record)
