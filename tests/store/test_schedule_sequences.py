"""Random sequences of all that happens to schedules, on a real server, against a model of them.

Several supervisors look and fire, from what they have seen and may be long past, and what they send may come twice;
schedules are added, declared in several versions and taken away, their jobs run or do not. No firing takes place
twice, none beside a predecessor that has not finished, and what the server holds is what the model says.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from play import enqueue, hire, results_of, turn

from tempotask import Repeat
from tempotask.pool import firing
from tempotask.store import schedules
from tempotask.store.check import check
from tempotask.store.connect import Server
from tempotask.store.records import Registration
from tempotask.store.schedules import Planned, Schedule
from tempotask.store.store import Store

STEP = 10
"""Milliseconds between two firings."""
LONG_AGO = 100_000
"""Milliseconds for which every schedule has been due: so many firings never come together."""

namespaces = (f"s{os.getpid()}-{number}" for number in itertools.count())
ids = st.sampled_from("ab")
limits = st.sampled_from([None, 1, 2])
supervisors = st.integers(0, 1)


@dataclass
class Modelled:
    """A schedule as it should be."""

    schedule: Schedule
    next: int
    fired: int = 0
    last: int = 0

    @property
    def added(self) -> bool:
        return self.schedule.added_at is not None


class Schedules(RuleBasedStateMachine):
    """Supervisors, producers and a worker of one namespace."""

    server: Server

    def __init__(self) -> None:
        super().__init__()
        self.store = Store(self.server, next(namespaces))
        self.model: dict[str, Modelled] = {}
        self.unfinished: set[str] = set()
        self.fired: set[str] = set()
        self.seen: dict[tuple[int, str], Planned] = {}
        """What a supervisor saw last of a schedule."""
        self.declared: dict[str, list[Schedule]] = {}
        self.turns = itertools.count(1, 2)
        hire(self.store, "w", supervisor="runner")

    # -- putting and taking away

    def begin(self, schedule: Schedule, fired: int = 0, last: int = 0) -> None:
        """It is there now: has it due for long."""
        planned = schedules.get(self.store, schedule.id)
        assert planned is not None
        assert planned.schedule == schedule
        # What has fired before must not fire again only because this test turns back the time.
        past = (self.time_of(id) + STEP for id in self.fired if id.startswith(f"{schedule.id}@"))
        begins = max([planned.next - LONG_AGO, *past])
        client, prefix = self.store.server.client(), self.store.prefix
        version, _, rest = client.hget(f"{prefix}schedules", schedule.id).split(b" ", 2)  # type: ignore[union-attr]
        client.hset(f"{prefix}schedules", schedule.id, b" ".join((version, str(begins).encode(), rest)))
        client.zadd(f"{prefix}firings", {schedule.id: begins})
        self.model[schedule.id] = Modelled(schedule, begins, fired, last)

    @staticmethod
    def time_of(id: str) -> int:
        return round(float(id.partition("@")[2]) * 1000)

    @rule(id=ids, limit=limits)
    def add(self, id: str, limit: int | None) -> None:
        schedule = Schedule(id, "q", "n", Repeat(every=STEP / 1000, limit=limit), added_at=1.0)
        free = id not in self.model and id not in self.unfinished
        assert schedules.add(self.store, schedule) == free
        if free:
            self.begin(schedule)

    @rule(supervisor=st.sampled_from("xy"), id=ids, limit=limits, priority=st.sampled_from("01"))
    def declare(self, supervisor: str, id: str, limit: int | None, priority: str) -> None:
        declared = [Schedule(id, "q", "n", Repeat(every=STEP / 1000, limit=limit), priority)]
        self.register(supervisor, declared)
        there = self.model.get(id)
        if there is None:
            self.begin(declared[0])
        elif not there.added and there.schedule != declared[0]:
            self.change(there, declared[0])

    def change(self, there: Modelled, schedule: Schedule) -> None:
        """It fires at the same times as before: goes on, as far as its limit lets it."""
        limit = schedule.repeat.limit
        if limit is not None and there.fired >= limit:
            self.model[schedule.id] = replace(there, schedule=schedule, next=0)
        elif there.next:
            self.model[schedule.id] = replace(there, schedule=schedule)
        else:
            self.begin(schedule, there.fired, there.last)

    @rule(supervisor=st.sampled_from("xy"))
    def declare_nothing(self, supervisor: str) -> None:
        self.register(supervisor, [])

    def register(self, supervisor: str, declared: list[Schedule]) -> None:
        told = Registration("host", "boot", 1, 0.0, [], 1, [(schedule.id, schedule.form) for schedule in declared])
        self.store.register(supervisor, 3600, msgspec.msgpack.encode(told))
        firing.declare(self.store, declared)
        self.declared[supervisor] = declared
        names = {schedule.id for some in self.declared.values() for schedule in some}
        for id in [id for id, one in self.model.items() if not one.added and id not in names]:
            del self.model[id]

    @rule(id=ids)
    def remove(self, id: str) -> None:
        there = self.model.get(id)
        assert schedules.remove(self.store, id) == (there is not None and there.added)
        if there is not None and there.added:
            del self.model[id]

    # -- firing

    @rule(supervisor=supervisors, id=ids)
    def look(self, supervisor: int, id: str) -> None:
        planned = schedules.get(self.store, id)
        if planned is not None and planned.next:
            self.seen[supervisor, id] = planned

    @rule(
        supervisor=supervisors,
        id=ids,
        looks=st.booleans(),
        policy=st.sampled_from(["skip", "skip", "wait", "overlap"]),
        times=st.integers(1, 2),
        jitter=st.sampled_from([0.0, 0.0, 3600.0]),
    )
    def fire(self, supervisor: int, id: str, looks: bool, policy: schedules.Policy, times: int, jitter: float) -> None:
        if looks:
            self.look(supervisor, id)
        planned = self.seen.get((supervisor, id))
        if planned is None:
            return
        for _ in range(times):
            current = schedules.get(self.store, id)
            fresh = current is not None and (current.version, current.next) == (planned.version, planned.next)
            following = planned.next + STEP
            told = schedules.fire(self.store, planned, planned.next, following, policy, delay=jitter)
            assert told == self.expected(id, planned, policy, fresh=fresh)

    def expected(self, id: str, planned: Planned, policy: schedules.Policy, *, fresh: bool) -> str:
        """What comes of it, and the model after it."""
        if not fresh:
            return "gone"
        there = self.model[id]
        before = schedules.job_id(id, there.last) if there.last else ""
        if policy != "overlap" and before in self.unfinished:
            if policy == "wait":
                return "waits"
            self.model[id] = replace(there, next=there.next + STEP)
            return "skipped"
        job = schedules.job_id(id, planned.next)
        assert job not in self.fired, "it fires twice"
        self.fired.add(job)
        self.unfinished.add(job)
        limit = there.schedule.repeat.limit
        over = limit is not None and there.fired + 1 >= limit
        self.model[id] = replace(there, next=0 if over else there.next + STEP, fired=there.fired + 1, last=planned.next)
        if over and there.added:
            del self.model[id]
        return "fired"

    # -- jobs

    @rule()
    def run(self) -> None:
        """A worker runs some of what waits."""
        number = next(self.turns)
        reply = turn(self.store, "w", number, 3)
        if reply.batch is not None:
            turn(self.store, "w", number + 1, 0, results_of(reply.batch))
            assert set(reply.ids) <= self.unfinished
            self.unfinished -= set(reply.ids)

    @rule(id=ids)
    def enqueue(self, id: str) -> None:
        """A job that is called like a schedule."""
        there = self.model.get(id)
        free = id not in self.unfinished and not (there is not None and there.added)
        assert enqueue(self.store, id, given_id=True) == [free]
        self.unfinished.add(id) if free else None

    # -- what always holds

    @invariant()
    def the_server_holds_what_the_model_says(self) -> None:
        there = {planned.id: planned for planned in schedules.every(self.store)}
        assert {
            id: (planned.schedule, planned.next, planned.fired, planned.last, planned.added)
            for id, planned in there.items()
        } == {id: (one.schedule, one.next, one.fired, one.last, one.added) for id, one in self.model.items()}
        given = {id.decode() for id in self.store.read("HKEYS", "ids")}
        assert given == self.unfinished | {id for id, one in self.model.items() if one.added}

    def teardown(self) -> None:
        assert check(self.store) == []
        client = self.store.server.client()
        client.delete(*client.scan_iter(f"{self.store.prefix}*"))
        self.store.close()


@pytest.fixture
def machine(server_url: str) -> Iterator[type[Any]]:
    """The machine, at the tests' server."""
    server = Server(server_url)
    yield type("Machine", (Schedules,), {"server": server})
    server.close()


@pytest.mark.timeout(3600)
def test_no_sequence_of_moves_has_a_firing_take_place_twice_or_beside_its_predecessor(machine: type[Any]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=int(os.environ.get("TEMPOTASK_SEQUENCES", "100")),
            stateful_step_count=40,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
