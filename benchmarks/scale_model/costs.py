"""What turns and jobs cost: the parameters of the model."""

from __future__ import annotations

from dataclasses import dataclass

PAUSE = 0.002
"""Seconds with nothing to do, as after a job: caches are cold and everybody sleeps."""


@dataclass(frozen=True)
class Costs:
    """In seconds."""

    turn: float = 0.0
    """Of the server's thread: a turn with a batch."""
    job: float = 0.0
    """Of the server's thread: each job of that batch, claimed and settled."""
    wake: float = 0.0
    """Of the server's thread: what a script costs more when nothing was to do for `PAUSE` before it; so much less when
    that was shorter."""
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
