"""Setting: who and what is in one scenario's world, and what may go wrong in it, how often."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from model.state import (
    ALIVE,
    FIELDS,
    KNOWN,
    NEVER,
    Client,
    Held,
    Process,
    Record,
    State,
    Supervisor,
    load,
)

LEASE = 3
"""Ticks of the clock for which a lease holds."""
MOST_HOSTS = 2
"""Lost hosts after which a job fails."""
MOST_CRASHES = 2
"""Crashes after which a job fails."""


@dataclass(frozen=True)
class Setting:
    """See the module's page. What is enabled is named in `can`."""

    queues: tuple[int, ...] = (0, 0, 0)
    """The queue of each job."""
    owners: tuple[int, ...] = (0, 0, 0, 0)
    """The supervisor of each worker id."""
    first: tuple[int, ...] = (0, 1)
    """Workers that live from the start on."""
    heirs: Mapping[int, int] = field(default_factory=lambda: {0: 2, 1: 3})
    """Which worker comes in the place of a dead one, under the same supervisor."""
    supervisors: int = 1
    """How many ids of supervisors there are."""
    leading: tuple[int, ...] = (0,)
    """Supervisors that live from the start on."""
    reborn: Mapping[int, int] = field(default_factory=dict)
    """The id under which a supervisor that was swept comes back."""
    want: int = 2
    """The most jobs of a batch."""
    calls: tuple[tuple[int, ...], ...] = ()
    """Jobs that producers add, by call. The others wait from the start on."""
    delayed: frozenset[int] = frozenset()
    """Jobs whose time is still to come."""
    endless: frozenset[int] = frozenset()
    """Jobs that end only when they are made to."""
    deadly: frozenset[int] = frozenset()
    """Jobs whose start is the end of their host."""
    kept: bool = True
    """Whether outcomes are kept for those who ask later."""
    clients: int = 0
    """How many wait for the first job."""
    faults: Mapping[str, int] = field(default_factory=dict)
    """Where in the budget each fault is counted."""
    budget: tuple[int, ...] = ()
    can: frozenset[str] = frozenset()
    lacks: frozenset[str] = frozenset()
    """Parts of rules that are left out."""

    @cached_property
    def workers(self) -> range:
        """All worker ids."""
        return range(len(self.owners))

    def start(self) -> State:
        """The first state."""
        later = {job for call in self.calls for job in call} | self.delayed
        queues = tuple(
            tuple(Record(job) for job, queue in enumerate(self.queues) if queue == each and job not in later)
            for each in range(max(self.queues) + 1)
        )
        parts: dict[str, object] = {
            "queues": queues,
            "ring": tuple(queue for queue, records in enumerate(queues) if records),
            "paused": (),
            "due": tuple(Record(job) for job in sorted(self.delayed)),
            "held": tuple(Held(KNOWN) if worker in self.first else Held() for worker in self.workers),
            "idle": (),
            "leases": tuple(LEASE if each in self.leading else NEVER for each in range(self.supervisors)),
            "calls": (),
            "outcomes": ("",) * len(self.queues),
            "waiters": (),
            "kept": False,
            "orders": ((),) * self.supervisors,
            "stranded": (),
            "processes": tuple(Process(ALIVE) if worker in self.first else Process() for worker in self.workers),
            "supervisors": tuple(
                Supervisor(ALIVE, renewed=True, seen=((NEVER, 0),) * self.supervisors)
                if each in self.leading
                else Supervisor()
                for each in range(self.supervisors)
            ),
            "enqueued": ("",) * len(self.calls),
            "clients": (Client(),) * self.clients,
            "late": (),
            "ripe": False,
            "up": True,
            "life": 1,
            "snapshot": None,
            "budget": self.budget,
            "begun": (None,) * len(self.queues),
            "cancelled": (),
        }
        return load(self, tuple(parts[name] for name in FIELDS))
