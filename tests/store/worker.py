"""A worker process as the machine plays it: what it knows, what it has to tell, and what its control block says."""

from __future__ import annotations

from dataclasses import dataclass, field

from play import Ending, Results

from tempotask.store.records import Batch, Record


@dataclass
class Worker:
    """A worker process: what it knows, and what its control block says."""

    name: str
    supervisor: str
    number: int = 0
    turn: str = ""
    records: list[Record] = field(default_factory=list)
    started: int = -1
    running: bool = False
    limit: int = 0
    settled: int = 0
    """Results up to this index were acknowledged."""
    missing: set[int] = field(default_factory=set)
    endings: dict[int, Ending] = field(default_factory=dict)
    blocked: bool = False
    """It waits for a hand-over to the turn of this number."""
    telling: bool = False
    """It has heard that somebody listens, and brings events with its results."""
    unsure: bool = False
    """It sent a turn and got no reply: it must send again."""

    def results(self) -> Results:
        """What it has to tell: everything that was not acknowledged."""
        stop = self.started if self.running else self.started + 1
        told = [i for i in range(self.settled, stop) if i not in self.missing]
        missing = tuple(sorted(i for i in self.missing if i >= self.settled))
        return Results(self.turn, self.settled, stop, missing, tuple(self.endings[i] for i in told))

    def take(self, batch: Batch) -> None:
        self.turn, self.records, self.started, self.limit = batch.turn, batch.records, -1, len(batch.records)
        self.settled, self.missing, self.endings, self.blocked, self.unsure = 0, set(), {}, False, False

    def drop(self) -> None:
        self.take(Batch("", 0, [], {}))

    @property
    def tells(self) -> bool:
        """There is something to settle."""
        return any(i >= self.settled for i in self.endings)

    @property
    def unstarted(self) -> bool:
        return not self.running and not self.unsure and not self.blocked and self.started + 1 < self.limit

    @property
    def ready(self) -> bool:
        """Its batch has ended, or it has none."""
        return not self.running and (self.unsure or self.started + 1 >= self.limit)
