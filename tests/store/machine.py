"""Producers, workers, supervisors and people that do what the real ones do, in any order that hypothesis likes.

What they send may arrive at once, or twice, or late, and the reply may be lost. After each step that reached the
server, all that it holds is compared with the model (mirror.py) and proved right. At the end everything is drained,
and each job must have ended exactly once.
"""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import initialize
from operators import Operators
from play import Verdict
from producers import Producers, jobs
from seen import Seen
from stage import QUEUES
from supervisors import Supervisors


class Machine(Producers, Supervisors, Operators):
    """All who act on one namespace."""

    @initialize(jobs=st.lists(jobs, max_size=12))
    def begin(self, jobs: list[tuple[str, str, int]]) -> None:
        for _ in range(2):
            self.hire(self.new_supervisor())
        self.enqueue(jobs, "arrives")

    def teardown(self) -> None:
        try:
            if self.sound:
                self.drain()
        finally:
            self.wipe()

    def drain(self) -> None:
        """What is on its way arrives, everybody ends, and a fresh worker runs what is left: each job ends once."""
        for deliver in self.late:
            deliver()
        assert self.workers.keys() <= self.model.workers.keys() | self.dead
        self.dead |= self.workers.keys()
        self.workers.clear()
        for name in list(self.model.workers):
            self.dead.add(name)
            self.give_back_all(name, Verdict())
        supervisor = self.new_supervisor()
        self.free()
        self.time_passes()
        self.hire(supervisor)
        (worker,) = self.workers.values()
        left = self.model.unfinished()
        assert len({record.id for record in left}) == len(left)
        while not worker.blocked:
            self.take_turn(worker, 100, "arrives")
            while worker.unstarted:
                self.start(worker)
                self.finish(worker, "completed")
        assert not self.model.unfinished()
        assert self.store.quiet(delayed=True)
        assert self.model.ended == self.model.added, "each job ended once"
        for deliver in self.fenced:
            deliver()
        assert not self.model.unfinished(), "nothing that comes late makes a job run again"
        if left:
            assert None not in self.store.outcomes_of([record.id for record in left])

    def free(self) -> None:
        """Nothing is paused or scheduled any more."""
        for queue in QUEUES:
            self.check(self.store.change("pause", "resume", queue), self.model.pause("resume", queue))
        for id in list(self.model.parked):
            self.deliver_act("resume", ("parked", "", 10, "WDR"), id=id)
        for id in list(self.model.schedules):
            self.check(self.store.change("unschedule", id), self.model.remove(id))

    def wipe(self) -> None:
        keys = Seen(self.store).keys
        self.store.server.client().unlink(*(f"{self.store.prefix}{key}" for key in keys))
