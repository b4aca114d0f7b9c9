"""Where producers, workers, supervisors and people act: what they send may be lost, doubled or late."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule
from mirror import Mirror
from play import new_job
from seen import Seen
from worker import Worker

from tempotask.store.addition import NewJob
from tempotask.store.check import violations
from tempotask.store.connect import Server
from tempotask.store.snapshot import take
from tempotask.store.store import Store

T = TypeVar("T")

QUEUES = ("a", "b", "c")
KINDS = (*["plain"] * 3, "urgent", "late", "due", "far", "large", "given", "given and large", "given and far")
FATES = ("arrives", "arrives", "arrives", "comes twice", "reply is lost", "comes late")
MOST_JOBS = 100

some = st.integers(0, 999)
"""Picks one of those that there are."""
fates = st.sampled_from(FATES)
queues = st.sampled_from(QUEUES)
namespaces = (f"p{os.getpid()}-{number}" for number in itertools.count())


class Stage(RuleBasedStateMachine):
    """A namespace, its model, and the way between those who act and the server."""

    server: Server

    def __init__(self) -> None:
        super().__init__()
        self.store = Store(self.server, next(namespaces))
        self.model = Mirror()
        self.sound = True
        self.serials = itertools.count(1)
        self.payloads: dict[float, Any] = {}
        """By the time they were enqueued at, which is a serial number here."""
        self.workers: dict[str, Worker] = {}
        """Living worker processes."""
        self.supervisors: list[str] = []
        self.dead: set[str] = set()
        """Workers that died, or whose host was declared lost."""
        self.starts: dict[bytes, str] = {}
        """Who started which try last."""
        self.jobs = 0
        self.late: list[Callable[[], object]] = []
        """What was sent and is still on its way."""
        self.fenced: list[Callable[[], object]] = []
        """What may arrive at any time, and must do no harm."""

    def send(self, fate: str, deliver: Callable[[], T], *, fenced: bool = True) -> T | None:
        """Sends something. None: no reply came. `fenced`: once its time is over it can do nothing any more."""
        if fate != "arrives":
            self.late.append(deliver)
            if fenced:
                self.fenced.append(deliver)
        if fate == "comes late":
            return None
        reply = deliver()
        return reply if fate in ("arrives", "comes twice") else None

    def arrived(self, turner: str = "", reply: str = "") -> None:
        """Something reached the server: it must hold what the model does, and break no invariant."""
        self.sound = False
        seen = Seen(self.store)
        self.model.absorb(seen, turner, reply)
        self.model.compare(seen)
        assert violations(take(self.store)) == []
        self.sound = True

    def check(self, told: object, expected: object) -> None:
        """What the server answered, and what it holds now."""
        self.sound = False
        assert told == expected
        self.arrived()

    @rule(which=some, again=st.booleans())
    def something_late_arrives(self, which: int, again: bool) -> None:
        if self.late:
            which %= len(self.late)
            deliver = self.late[which] if again else self.late.pop(which)
            deliver()

    def make(self, id: str, queue: str, kind: str) -> NewJob:
        """A job to be added."""
        self.jobs += 1
        serial = float(next(self.serials))
        payload = self.payloads[serial] = f"{serial}" + ("x" * 5000 if "large" in kind else "")
        given = "given" in kind
        due = {"due": serial, "far": 4e9 + serial}.get(kind.split()[-1])
        id = f"{queue}{serial % 3:.0f}" if given else id
        priority = {"urgent": 5, "late": -5}.get(kind, 0)
        name = f"n{serial % 2:.0f}"
        return new_job(
            id, queue, priority=priority, payload=payload, due=due, given_id=given, enqueued_at=serial, name=name
        )
