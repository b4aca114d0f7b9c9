"""Owed: the pushes that may still come for jobs that nobody waits for any more.

A push comes late when the waiting was given up meanwhile, or was answered as it was asked for again. By then the job
may run anew, and be waited for anew. So whoever stops waiting notes it here, and a push that is owed is taken for no
more than a hint to ask.
"""

from __future__ import annotations

from collections.abc import Iterable

Told = list[tuple[str, bytes]]
"""Jobs, and their outcomes; b"" where it is to be asked for."""
MOST = 100_000
"""Jobs of which that is known: the oldest are forgotten, for after an outage there may be many whose push is lost."""


class Owed:
    """For each job, how many pushes. It is for its user to lock it."""

    def __init__(self) -> None:
        self._pushes: dict[str, int] = {}
        """The one that was noted last is the last."""

    def __len__(self) -> int:
        return len(self._pushes)

    def add(self, ids: Iterable[str]) -> None:
        """One more may come for each of these."""
        pushes = self._pushes
        for id in ids:
            pushes[id] = pushes.pop(id, 0) + 1
        while len(pushes) > MOST:
            del pushes[next(iter(pushes))]

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
