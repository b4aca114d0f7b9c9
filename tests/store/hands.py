"""Workers at work."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import rule
from mirror import LIMIT
from play import HOUR, Reply, Results, addition, completed, failed, tried_again, turn
from stage import MOST_JOBS, Stage, fates, some
from worker import Worker

from tempotask.store.addition import Addition
from tempotask.store.records import Batch, Record, decode_batch, encode

ENDINGS = (*["completed"] * 3, "unkept", "with a child", "failed", "tried again", "tried later")

moves = st.tuples(some, st.integers(1, 6), st.sampled_from(ENDINGS), fates)


class Workers(Stage):
    """They take turns, run, and settle."""

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

    @rule(moves=st.lists(moves, min_size=4, max_size=12))
    def work_long(self, moves: list[tuple[int, int, str, str]]) -> None:
        """And once more."""
        self.work(moves)

    @rule(moves=st.lists(moves, min_size=4, max_size=12))
    def work_longer(self, moves: list[tuple[int, int, str, str]]) -> None:
        """For half of all moves."""
        self.work(moves)

    @rule(which=some, fate=fates)
    def settle_early(self, which: int, fate: str) -> None:
        """What has ended is settled beside a job that goes on."""
        if worker := self.worker(which, lambda worker: worker.tells and not worker.unsure):
            self.take_turn(worker, 0, fate)

    def take_turn(self, worker: Worker, want: int, fate: str) -> None:
        worker.number += 1
        worker.unsure = worker.unsure or want > 0
        number, results, told = worker.number, worker.results(), worker.telling
        reply = self.send(fate, lambda: self.deliver_turn(worker.name, number, want, results, told))
        if reply is None:
            return
        if reply.kind == "jobs" and reply.batch:
            worker.take(reply.batch)
        elif reply.kind in ("idle", "again"):
            worker.drop()
            worker.blocked = reply.kind == "idle"
        elif reply.kind == "settled":
            worker.settled = results.stop
        elif reply.kind == "refused":
            worker.missing.update(reply.numbers)
        elif reply.kind == "listened":
            worker.telling = True
        elif reply.kind == "stale":
            worker.number = max(worker.number, *reply.numbers)
        else:
            assert worker.name in self.dead, "only who was declared dead is told to go"
            del self.workers[worker.name]

    def deliver_turn(self, name: str, number: int, want: int, results: Results, told: bool) -> Reply:
        self.sound = False
        kind, numbers = self.model.turn(name, number, want, results, told)
        reply = turn(self.store, name, number, want, results, limit=LIMIT, told=told)
        self.arrived(name if kind == "claim" else "", reply.kind)
        self.sound = False
        if kind in ("again", "claim"):
            held = self.model.workers[name]
            kind = "jobs" if held.claims else "idle" if held.resting else "again"
            if reply.batch:
                assert reply.batch.turn == held.open
                assert reply.batch.listened is self.model.listening
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
        held = self.model.workers.get(worker.name)
        if held is not None and held.claims[worker.started : worker.started + 1] == [b""]:
            # Cancelled, and its worker has not heard yet: what comes of it is refused, and the job may be tried again.
            return
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
            child = self.child(record) if how == "with a child" and self.jobs < MOST_JOBS else None
            ending = completed(record, f"{worker.name} {worker.number}", 0 if how == "unkept" else HOUR, child)
        worker.endings[worker.started] = ending

    def child(self, record: Record) -> Addition:
        """What a job adds that is to be there only if it ends well."""
        call, kind = self.store.new_call(), ("plain", "given", "large")[int(record.enqueued_at) % 3]
        return addition(call, [self.make(f"{call}-0", record.queue, kind)])

    @rule(which=some, fate=fates)
    def say(self, which: int, fate: str) -> None:
        """A job that runs tells how it is."""
        if worker := self.worker(which, lambda worker: worker.running):
            name, turn, index = worker.name, worker.turn, worker.started
            record = worker.records[index]
            encoded, event = encode(record), encode(record.id)
            self.send(
                fate,
                lambda: self.check(
                    self.store.run("say", name, turn, index, record.id, event, "", "told"),
                    self.model.say(name, turn, index, encoded),
                ),
            )

    def wake(self, worker: Worker, fate: str) -> None:
        """A blocked worker is handed something over or nudged, or its connection broke and something else took it."""
        message = self.store.server.client().lpop(f"{self.store.prefix}wake:{worker.name}:{worker.number}")
        if message is None:
            return
        self.sound = False
        held = self.model.workers[worker.name]
        assert (held.handed, held.nudged) == (message != b"", message == b"")
        held.handed, held.nudged = False, False
        worker.drop()
        if message:
            batch = decode_batch(message)
            self.check_batch(batch, held.claims)
            assert batch.turn == held.open
            worker.take(batch)
        self.sound = True
        if message and fate == "reply is lost":
            worker.drop()
            worker.unsure = True
