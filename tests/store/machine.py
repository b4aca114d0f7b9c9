"""Producers, workers and supervisors that do what the real ones do, in any order that hypothesis likes.

What they send may arrive at once, or twice, or late, and the reply may be lost. After each step that reached the
server, all that it holds is compared with the model (model.py). At the end everything is drained, and each job must
have ended exactly once.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from model import Model, Snapshot
from play import (
    HOUR,
    Reply,
    Results,
    Verdict,
    completed,
    failed,
    new_job,
    settlement,
    tried_again,
    turn,
    woken,
)
from worker import Worker

from tempotask.store.connect import Server
from tempotask.store.records import Batch, decode_record, encode, raised
from tempotask.store.store import NewJob, Store

T = TypeVar("T")

QUEUES = ("a", "b", "c")
KINDS = (*["plain"] * 3, "urgent", "late", "due", "far", "large", "given", "given and large", "given and far")
ENDINGS = ("completed", "completed", "completed", "unkept", "failed", "tried again", "tried later")
FATES = ("arrives", "arrives", "arrives", "comes twice", "reply is lost", "comes late")
CRASHES = ("unmarked", "crashed", "failed", "timed out")
MOST_WORKERS, MOST_JOBS, LIMIT = 3, 100, 3

some = st.integers(0, 999)
"""Picks one of those that there are."""
fates = st.sampled_from(FATES)
jobs = st.sampled_from([(queue, kind, number) for number in (1, 4) for kind in KINDS for queue in QUEUES])
moves = st.tuples(some, st.integers(1, 6), st.sampled_from(ENDINGS), fates)
namespaces = (f"p{os.getpid()}-{number}" for number in itertools.count())


class Machine(RuleBasedStateMachine):
    """Producers, workers and supervisors of one namespace."""

    server: Server

    def __init__(self) -> None:
        super().__init__()
        self.store = Store(self.server, next(namespaces))
        self.model = Model()
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

    # -- between them and the server

    def send(self, fate: str, deliver: Callable[[], T]) -> T | None:
        """Sends something. None: no reply came."""
        if fate != "arrives":
            self.late.append(deliver)
        if fate == "comes late":
            return None
        reply = deliver()
        return reply if fate in ("arrives", "comes twice") else None

    def arrived(self, turner: str = "") -> None:
        """Something reached the server: it must hold what the model does."""
        self.sound = False
        snapshot = Snapshot(self.store)
        self.model.absorb(snapshot, turner)
        self.model.compare(snapshot)
        self.sound = True

    def check(self, told: object, expected: object) -> None:
        self.sound = False
        assert told == expected
        self.arrived()

    @rule(which=some, again=st.booleans())
    def something_late_arrives(self, which: int, again: bool) -> None:
        if self.late:
            which %= len(self.late)
            deliver = self.late[which] if again else self.late.pop(which)
            deliver()

    # -- producers

    @rule(jobs=st.lists(jobs, min_size=1, max_size=6), fate=fates)
    def enqueue(self, jobs: list[tuple[str, str, int]], fate: str) -> None:
        if self.jobs >= MOST_JOBS:
            return
        call = self.store.new_call()
        each = [(queue, kind) for queue, kind, number in jobs for _ in range(number)]
        made = [self.make(f"{call}-{i}", queue, kind) for i, (queue, kind) in enumerate(each)]
        self.jobs += len(made)
        self.send(fate, lambda: self.check(self.store.enqueue(call, made), self.model.enqueue(call, made)))

    def make(self, id: str, queue: str, kind: str) -> NewJob:
        serial = float(next(self.serials))
        payload = self.payloads[serial] = f"{serial}" + ("x" * 5000 if "large" in kind else "")
        given = "given" in kind
        due = {"due": serial, "far": 4e9 + serial}.get(kind.split()[-1])
        id = f"{queue}{serial % 3:.0f}" if given else id
        priority = {"urgent": 5, "late": -5}.get(kind, 0)
        return new_job(id, queue, priority=priority, payload=payload, due=due, given_id=given, enqueued_at=serial)

    @rule()
    def time_passes(self) -> None:
        """Delays and pauses are over."""
        pipe = self.store.server.client().pipeline(transaction=False)
        for key, held in (("due", self.model.due), ("retries", self.model.retries)):
            for i, encoded in enumerate(sorted(held, key=lambda encoded: (held[encoded], encoded))):
                held[encoded] = float(i + 1)
                pipe.zadd(f"{self.store.prefix}{key}", {encoded: held[encoded]}, xx=True)
        pipe.execute()

    @rule(client=st.sampled_from(["me", "you"]), which=some, width=st.integers(1, 3), give_up=st.booleans())
    def wait(self, client: str, which: int, width: int, give_up: bool) -> None:
        known = sorted({*(record.id for record in self.model.live()), *self.model.outcomes})
        ids = (known * 2)[which % len(known) :][:width] if known else []
        ids = sorted(set(ids))
        if not ids:
            return
        if give_up:
            self.store.unwait(client, ids)
            for id in ids:
                left = [name for name in self.model.waiters.pop(id, []) if name != client]
                self.model.waiters |= {id: left} if left else {}
            self.arrived()
        else:
            self.check(self.store.ask(client, ids), self.model.ask(client, ids))

    # -- workers

    def worker(self, which: int, fits: Callable[[Worker], bool]) -> Worker | None:
        fitting = [worker for worker in self.workers.values() if fits(worker)]
        return fitting[which % len(fitting)] if fitting else None

    @rule(moves=st.lists(moves, min_size=1, max_size=8))
    def work(self, moves: list[tuple[int, int, str, str]]) -> None:
        """Workers do what comes next."""
        for which, number, how, fate in moves:
            worker = self.worker(which, lambda worker: True)
            if worker is None:
                return
            if worker.blocked and number > 1:
                self.wake(worker, fate)
            elif number == 1 and worker.tells and not worker.unsure:
                self.take_turn(worker, 0, fate)
            elif worker.ready:
                self.take_turn(worker, number, fate)
            elif worker.running:
                self.finish(worker, how)
            else:
                for _ in range(number):
                    self.run(worker, how)

    @rule(moves=st.lists(moves, min_size=1, max_size=8))
    def work_on(self, moves: list[tuple[int, int, str, str]]) -> None:
        """The same again: it is what happens most."""
        self.work(moves)

    @rule(which=some, fate=fates)
    def settle_early(self, which: int, fate: str) -> None:
        """What has ended is settled beside a job that goes on."""
        if worker := self.worker(which, lambda worker: worker.tells and not worker.unsure):
            self.take_turn(worker, 0, fate)

    def take_turn(self, worker: Worker, want: int, fate: str) -> None:
        worker.number += 1
        worker.unsure = worker.unsure or want > 0
        number, results = worker.number, worker.results()
        reply = self.send(fate, lambda: self.deliver_turn(worker.name, number, want, results))
        if reply is None:
            return
        if reply.kind == "jobs" and reply.batch:
            worker.take(reply.batch)
        elif reply.kind == "idle":
            worker.drop()
            worker.blocked = True
        elif reply.kind == "settled":
            worker.settled = results.stop
        elif reply.kind == "refused":
            worker.missing.update(reply.numbers)
        elif reply.kind == "stale":
            worker.number = max(worker.number, *reply.numbers)
        else:
            assert worker.name in self.dead, "only who was declared dead is told to go"
            del self.workers[worker.name]

    def deliver_turn(self, name: str, number: int, want: int, results: Results) -> Reply:
        self.sound = False
        kind, numbers = self.model.turn(name, number, want, results)
        reply = turn(self.store, name, number, want, results, limit=LIMIT)
        self.arrived(name if kind == "claim" else "")
        self.sound = False
        if kind in ("again", "claim"):
            held = self.model.workers[name]
            kind = "jobs" if held.claims else "idle"
            if reply.batch:
                assert reply.batch.turn == held.open
                self.check_batch(reply.batch, held.claims)
        assert (reply.kind, reply.numbers) == (kind, numbers)
        self.sound = True
        return reply

    def check_batch(self, batch: Batch, claims: list[bytes]) -> None:
        assert [encode(record) for record in batch.records] == claims
        for i, record in enumerate(batch.records):
            payload = batch.payloads.get(i, b"") if "p" in record.flags else bytes(record.payload)
            assert msgspec.msgpack.decode(payload) == self.payloads[record.enqueued_at]

    @rule(which=some)
    def start_only(self, which: int) -> None:
        if worker := self.worker(which, lambda worker: worker.unstarted):
            self.start(worker)

    def run(self, worker: Worker, how: str) -> None:
        if worker.unstarted:
            self.start(worker)
            self.finish(worker, how)

    def start(self, worker: Worker) -> None:
        worker.started += 1
        worker.running = True
        encoded = encode(worker.records[worker.started])
        earlier = self.starts.get(encoded)
        assert earlier is None or earlier in self.dead, "a try is started once, unless its worker died"
        self.starts[encoded] = worker.name

    def finish(self, worker: Worker, how: str) -> None:
        record = worker.records[worker.started]
        worker.running = False
        if how.startswith("tried"):
            ending = tried_again(record, HOUR if how == "tried later" else 0)
        elif how == "failed":
            ending = failed(record, f"{worker.name} {worker.number}")
        else:
            ending = completed(record, f"{worker.name} {worker.number}", 0 if how == "unkept" else HOUR)
        worker.endings[worker.started] = ending

    def wake(self, worker: Worker, fate: str) -> None:
        """A blocked worker is handed something over, or its connection broke and something else took it."""
        if batch := woken(self.store, worker.name, worker.number):
            self.sound = False
            held = self.model.workers[worker.name]
            assert held.handed
            held.handed = False
            self.check_batch(batch, held.claims)
            assert batch.turn == held.open
            self.sound = True
            worker.take(batch)
            if fate == "reply is lost":
                worker.drop()
                worker.unsure = True

    # -- supervisors

    @initialize(jobs=st.lists(jobs, max_size=12))
    def begin(self, jobs: list[tuple[str, str, int]]) -> None:
        for _ in range(2):
            self.hire(self.new_supervisor())
        self.enqueue(jobs, "arrives")

    def new_supervisor(self) -> str:
        name = f"s{len(self.model.leases)}-{next(self.serials)}"
        self.check(self.store.register(name, 3600, b"{}"), self.model.register(name, True, []))
        self.supervisors.append(name)
        return name

    def hire(self, supervisor: str) -> None:
        name = f"w{next(self.serials)}"
        registered = self.model.register(supervisor, False, [name])
        for _ in range(2):
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
        """Stop, look, shrink, go on, give back."""
        if worker := self.worker(which, lambda worker: worker.started + 1 < worker.limit):
            worker.limit = worker.started + 1
            name, number, start = worker.name, worker.turn, worker.limit
            self.send(fate, lambda: self.give_back_tail(name, number, start))

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
        told = settlement(verdict.endings, LIMIT)
        expected = self.model.give_back_all(name, verdict)
        reply = self.store.give_back_all(name, verdict.turn, verdict.judged, verdict.replaced, told)
        self.check(reply, expected)

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

    # -- the end

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
        self.time_passes()
        self.hire(supervisor)
        (worker,) = self.workers.values()
        left = self.model.live()
        assert len({record.id for record in left}) == len(left)
        while not worker.blocked:
            self.take_turn(worker, 100, "arrives")
            while worker.unstarted:
                self.start(worker)
                self.finish(worker, "completed")
        assert not self.model.live()
        assert self.store.quiet(delayed=True)
        assert self.model.ended == self.model.added, "each job ended once"
        for deliver in self.late:
            deliver()
        assert not self.model.live(), "nothing that comes late makes a job run again"
        assert None not in self.store.ask("", [record.id for record in left])

    def wipe(self) -> None:
        keys = Snapshot(self.store).keys
        self.store.server.client().unlink(*(f"{self.store.prefix}{key}" for key in keys))
