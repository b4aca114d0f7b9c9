"""Supervisors: they hire, steal, bury, renew, sweep and leave, and do what they are told."""

from __future__ import annotations

from hands import Workers
from hypothesis import strategies as st
from hypothesis.stateful import rule
from mirror import LIMIT
from play import HOUR, Verdict, failed, settlement, tried_again
from stage import fates, some
from worker import Worker

from tempotask.store.records import decode_record, encode, raised

CRASHES = ("unmarked", "crashed", "failed", "timed out")
MOST_WORKERS = 3


def number_of(turn: str) -> int:
    """The number of a turn by its name; 0 for none."""
    return int(turn.partition("@")[0] or 0)


class Supervisors(Workers):
    """They look after workers, and after each other."""

    def __init__(self) -> None:
        super().__init__()
        self.orders: dict[str, list[bytes]] = {}
        """What supervisors were told and keep until the worker has got there."""

    def new_supervisor(self) -> str:
        name = f"s{len(self.model.leases)}-{next(self.serials)}"
        self.check(self.store.register(name, 3600, b"{}"), self.model.register(name, True, []))
        self.supervisors.append(name)
        return name

    def hire(self, supervisor: str) -> None:
        name = f"w{next(self.serials)}"
        for _ in range(2):
            registered = self.model.register(supervisor, False, [name])
            self.check(self.store.register(supervisor, 3600, workers=[name]), registered)
        if registered:
            self.workers[name] = Worker(name, supervisor)
        else:
            self.come_back(supervisor)

    def come_back(self, swept: str) -> None:
        """A supervisor that finds itself swept ends its workers and comes back under a new name."""
        if self.store.registrations().get(swept):
            self.check(self.store.register(swept, 3600, b"{}"), self.model.register(swept, True, []))
        for name in [name for name, worker in self.workers.items() if worker.supervisor == swept]:
            self.dead.add(name)
            del self.workers[name]
        self.supervisors.remove(swept)
        self.new_supervisor()

    @rule(which=some)
    def grow(self, which: int) -> None:
        while len(self.workers) < MOST_WORKERS - which % 2:
            self.hire(self.supervisors[which % len(self.supervisors)])

    @rule(which=some, fate=fates)
    def steal(self, which: int, fate: str) -> None:
        """What has not started is given back."""
        if worker := self.worker(which, lambda worker: worker.started + 1 < worker.limit):
            self.shrink(worker, worker.started + 1, fate)

    def shrink(self, worker: Worker, limit: int, fate: str) -> None:
        """Stop, look, shrink, go on, give back."""
        worker.limit = limit
        name, turn = worker.name, worker.turn
        self.send(fate, lambda: self.give_back_tail(name, turn, limit))

    def give_back_tail(self, name: str, number: str, start: int) -> None:
        expected = self.model.give_back_tail(name, number, start)
        self.check(self.store.give_back_tail(name, number, start), expected)

    @rule(which=some, how=st.sampled_from(CRASHES), fate=fates)
    def die(self, which: int, how: str, fate: str) -> None:
        """A worker's process ends: it crashes, is killed for a reason, or is told to end."""
        if worker := self.worker(which, lambda worker: True):
            if how != "unmarked" and worker.unstarted:
                self.start(worker)
            self.bury(worker, how, fate)

    def bury(self, worker: Worker, how: str, fate: str) -> None:
        del self.workers[worker.name]
        self.dead.add(worker.name)
        index, verdict = worker.started, Verdict(worker.turn)
        if how != "unmarked" and index >= 0:
            # The block can't tell a job that runs from one that has just ended: then it counts only if still held.
            record = worker.records[index]
            verdict = Verdict(worker.turn, (index,))
            if how == "crashed":
                verdict = verdict._replace(replaced=((index, encode(raised(record, "c"))),))
            else:
                ended = failed(record, how) if how == "failed" else tried_again(record, HOUR)
                verdict = verdict._replace(endings=(ended,))
        self.send(fate, lambda: self.give_back_all(worker.name, verdict))

    def give_back_all(self, name: str, verdict: Verdict) -> None:
        told = settlement(verdict.endings, LIMIT, True)
        expected = self.model.give_back_all(name, verdict)
        reply = self.store.give_back_all(name, verdict.turn, verdict.judged, verdict.replaced, told)
        self.check(reply, expected)

    @rule(fate=fates, kills=st.booleans())
    def obey(self, fate: str, kills: bool) -> None:
        """Supervisors do what they are told."""
        for supervisor in list(self.supervisors):
            self.obey_all(supervisor, fate, kills)

    def obey_all(self, supervisor: str, fate: str, kills: bool) -> None:
        told = self.store.server.client().lpop(f"{self.store.prefix}orders:{supervisor}", 100) or []
        kept, self.orders[supervisor] = self.orders.get(supervisor, []), []
        for order in [*kept, *told]:
            if order == b"steal":
                for worker in [worker for worker in self.workers.values() if worker.supervisor == supervisor]:
                    if worker.started + 1 < worker.limit:
                        self.shrink(worker, worker.started + 1, fate)
            elif order.startswith(b"cancel ") and not self.obey_cancel(order, fate, kills):
                self.orders[supervisor].append(order)

    def obey_cancel(self, order: bytes, fate: str, kills: bool) -> bool:
        """Ends the job of that turn and index if it runs, or has not started; False: the worker has not got there."""
        _, name, turn, at, encoded = order.split(b" ", 4)
        worker, index = self.workers.get(name.decode()), int(at)
        if worker is None:
            return True
        if worker.turn != turn.decode():
            return number_of(worker.turn) > number_of(turn.decode())
        assert encode(worker.records[index]) == encoded, "no other job is hit than the one that was meant"
        if worker.started < index < worker.limit:
            self.shrink(worker, index, fate)
        elif worker.started == index and worker.running:
            if kills:
                self.bury(worker, "unmarked", fate)
            else:
                self.finish(worker, "failed")
        return True

    @rule(which=some, tidy=st.booleans())
    def renew(self, which: int, tidy: bool) -> None:
        self.deliver_renew(self.supervisors[which % len(self.supervisors)], 3600, tidy)

    def deliver_renew(self, supervisor: str, lease: float, tidy: bool) -> None:
        expected = self.model.renew(supervisor, tidy)
        renewal = self.store.renew(supervisor, lease, tidy=tidy)
        self.check(renewal is not None, expected)
        if renewal is None:
            self.come_back(supervisor)

    @rule(which=some, by=some, lease=st.sampled_from(["ran out", "ran out", "ran out again", "lives"]), fate=fates)
    def sweep(self, which: int, by: int, lease: str, fate: str) -> None:
        """A lease that somebody saw is to be swept; it goes if it has run out, and was not renewed since."""
        lost = sorted(self.model.leases)[which % len(self.model.leases)]
        supervisor = self.supervisors[by % len(self.supervisors)]
        if supervisor == lost:
            return
        if self.model.leases[lost] != "swept":
            self.deliver_renew(lost, 3600 if lease == "lives" else 0, False)
        seen = self.model.leases[lost]
        if lease == "ran out again" and seen != "swept":
            self.deliver_renew(lost, 0, False)
        self.send(fate, lambda: self.deliver_sweep(supervisor, lost, seen))

    def deliver_sweep(self, supervisor: str, lost: str, seen: str) -> None:
        left = self.model.sweep(supervisor, lost, seen)
        self.dead |= left or set()
        told = self.store.sweep(supervisor, 3600, lost, seen)
        self.check(None if told is None else set(told), left)

    @rule(which=some, fate=fates)
    def collect(self, which: int, fate: str) -> None:
        """Somebody gives back what a lost worker held, each job marked."""
        lost = sorted(name for name, held in self.model.workers.items() if held.lost)
        if lost:
            name = lost[which % len(lost)]
            number, records = self.store.opened(name)
            judged = tuple(i for i, encoded in enumerate(records) if encoded)
            marked = tuple((i, encode(raised(decode_record(records[i]), "h"))) for i in judged)
            self.send(fate, lambda: self.give_back_all(name, Verdict(number, judged, marked)))

    @rule(which=some, fate=fates)
    def leave(self, which: int, fate: str) -> None:
        """A supervisor ends its workers, gives back what they held, and says goodbye; another one comes."""
        if which % 3:
            return
        supervisor = self.supervisors[which % len(self.supervisors)]
        for worker in [worker for worker in self.workers.values() if worker.supervisor == supervisor]:
            self.bury(worker, "unmarked", fate)
        self.check(self.store.leave(supervisor), self.model.leave(supervisor))
        self.supervisors.remove(supervisor)
        self.new_supervisor()
