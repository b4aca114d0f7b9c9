"""Owed: the pushes that may still come for jobs that nobody waits for any more.

A push comes late when the waiting was given up meanwhile, or was answered as it was asked for again. By then the job
may run anew, and be waited for anew. So whoever stops waiting notes it here, and a push that is owed is taken for no
more than a hint to ask.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

Told = list[tuple[str, bytes]]
"""Jobs, and their outcomes; b"" where it is to be asked for."""


class Owed:
    """For each job, how many pushes. It is for its user to lock it."""

    def __init__(self) -> None:
        self._pushes: Counter[str] = Counter()

    def __bool__(self) -> bool:
        return bool(self._pushes)

    def add(self, ids: Iterable[str]) -> None:
        """One more may come for each of these."""
        self._pushes.update(ids)

    def pay(self, id: str) -> bool:
        """One has come, or never will; whether one was owed."""
        owed = self._pushes.get(id, 0)
        if owed > 1:
            self._pushes[id] = owed - 1
        else:
            self._pushes.pop(id, None)
        return owed > 0

    def checked(self, told: Told) -> Told:
        """What was pushed, but without the outcome where it may be that of an earlier run."""
        return [(id, b"" if self.pay(id) else ending) for id, ending in told] if self._pushes else told
