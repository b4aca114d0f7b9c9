"""What turns and jobs cost: the parameters of the model."""

from __future__ import annotations

import bisect
import dataclasses
from dataclasses import dataclass

PAUSE = 0.002
"""Seconds with nothing to do, as after a job: caches are cold and everybody sleeps."""


@dataclass(frozen=True)
class Cold:
    """What a script costs more when the server had nothing to do before it. It grows with the gap: memory gets cold,
    and cores slow."""

    gaps: tuple[float, ...] = (0.0,)
    """Seconds, ascending, from 0.0 on."""
    seconds: tuple[float, ...] = (0.0,)
    """Of the server's thread, after each of these; between two of them it lies on a straight line."""

    def after(self, gap: float) -> float:
        """What it costs more after so many seconds."""
        at = bisect.bisect_right(self.gaps, gap)
        if at == len(self.gaps):
            return self.seconds[-1]
        (x, next_x), (y, next_y) = self.gaps[at - 1 : at + 1], self.seconds[at - 1 : at + 1]
        return y + (next_y - y) * (gap - x) / (next_x - x)

    def thinned(self, times: float) -> Cold:
        """For a script that stands for so many."""
        return Cold(tuple(gap * times for gap in self.gaps), tuple(each * times for each in self.seconds))

    def dearer(self, times: float) -> Cold:
        """After each gap it costs so many times as much."""
        return Cold(self.gaps, tuple(each * times for each in self.seconds))


@dataclass(frozen=True)
class Costs:
    """In seconds."""

    turn: float = 0.0
    """Of the server's thread: a turn with a batch."""
    job: float = 0.0
    """Of the server's thread: each job of that batch, claimed and settled."""
    cold: Cold = Cold()
    idle: float = 0.0
    """Of the server's thread, a second: what it does when nobody wants anything."""
    own_turn: float = 0.0
    """Of the worker: what a turn takes besides the server's time and the round trip."""
    own_job: float = 0.0
    """Of the worker: each job, besides what its handler takes."""
    round_trip: float = 0.0
    """Of a PING by the client library: the way there and back with nothing to do there."""
    handing: float = 0.5
    """What it costs the server to hand over a batch, by what a turn costs: nothing is settled."""
    say: float = 0.0
    """Of the server's thread: to be told that a job takes long, and what it says."""
    renewal: float = 0.0
    """Of the server's thread: a supervisor renews its lease."""
    lease: float = 0.0
    """Of the server's thread: each lease that it is told of when it does."""
    core_turn: float = 0.0
    """Of a core, all told but the server's thread: a turn, with what the supervisor and the link do about it."""
    core_job: float = 0.0
    """Of a core: a job that sleeps, with falling asleep and waking up."""

    def dearer(self, times: float) -> Costs:
        """All that the server's thread does costs so many times as much."""
        each = {name: getattr(self, name) * times for name in ("turn", "job", "idle", "say", "renewal", "lease")}
        return dataclasses.replace(self, cold=self.cold.dearer(times), **each)
