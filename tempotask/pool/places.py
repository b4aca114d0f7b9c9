"""Where workers run: on a core each if wanted (`--pin`), and how far they stand back behind other processes (`--nice`).

The supervisor chooses the place, and the worker takes it before anything of the application runs in it, so that all
threads and processes of its jobs have it too. Supervisor and nursery stay as they are.
"""

from __future__ import annotations

import collections
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from tempotask.errors import InvalidOptions


class Place(msgspec.Struct, array_like=True, frozen=True):
    """One worker's. `core` is the number of a core, `nice` a niceness; None leaves it as the supervisor has it."""

    core: int | None = None
    nice: int | None = None

    def take(self) -> None:
        """Has this process, which has one thread, run there."""
        if self.core is not None:
            os.sched_setaffinity(0, {self.core})
        if self.nice is not None:
            os.setpriority(os.PRIO_PROCESS, 0, self.nice)


@dataclass(frozen=True)
class Places:
    """What a supervisor has to give."""

    pin: bool = False
    nice: int | None = None

    def check(self) -> None:
        """Raises `InvalidOptions` for what this system, or this process, can't give."""
        if self.nice is not None and self.nice < (own := os.getpriority(os.PRIO_PROCESS, 0)):
            raise InvalidOptions(
                f"--nice {self.nice} would put the workers before the supervisor, which runs at "
                f"niceness {own}: give {own} to 19"
            )

    def next(self, taken: Iterable[Place]) -> Place:
        """The place of one more worker: the core with the fewest of those whose places are `taken`."""
        if not self.pin:
            return Place(None, self.nice)
        workers = collections.Counter(place.core for place in taken)
        # Asked each time: it may be changed while we run.
        core = min(os.sched_getaffinity(0), key=lambda core: (workers[core], core))
        return Place(core, self.nice)

    def shared(self, workers: int) -> str | None:
        """What to say when so many workers do not get a core each; None when they do."""
        if not self.pin or workers <= (cores := len(os.sched_getaffinity(0))):
            return None
        most = math.ceil(workers / cores)
        each = f"{most}" if workers % cores == 0 else f"{most - 1} or {most}"
        on = "1 core" if cores == 1 else f"{cores} cores"
        return f"{workers} workers are kept on {on}, {each} on each: give --concurrency {cores} for a core each"
