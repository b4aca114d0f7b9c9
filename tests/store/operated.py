"""What the server must hold when people act on jobs: pause, resume, cancel, delete, try again, listen, schedule."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from model import Model, Planned
from play import fresh

from tempotask.store.acting import _around
from tempotask.store.pages import decode_finished, decode_raw_page
from tempotask.store.records import decode_outcome, decode_record, encode
from tempotask.store.schedules import job_id
from tempotask.store.script import Argument


class Operated(Model):
    """A namespace that people act on."""

    def pause(self, what: str, queue: str) -> int:
        if (what == "pause") == (queue in self.paused):
            return 0
        (self.paused.add if what == "pause" else self.paused.discard)(queue)
        return 1

    def act(self, action: str, place: str, taken: Iterable[bytes]) -> None:
        """What was found in one place, and taken out: in `queue`, `due`, `retries`, `parked` or `claims`."""
        firsts = self.firsts()
        for encoded in taken:
            record = decode_record(encoded)
            kind, at = {"due": "D", "retries": "R"}.get(place, "W"), 0.0
            if place == "queue":
                self.lines[record.queue][int(record.priority)].remove(encoded)
            elif place == "parked":
                kind, at, _ = self.parked.pop(record.id)
                self.count(encoded, {"W": "parked", "D": "delayed", "R": "retries"}[kind], -1)
            elif place == "claims":
                self.take_claim(encoded, firsts)
            else:
                at = getattr(self, place).pop(encoded)
            if action == "pause":
                self.parked[record.id] = kind, at, encoded
                self.counts[record.queue]["parked"] += kind == "W"
            elif action == "resume":
                self.resume(kind, at, encoded)
            else:
                if place in ("due", "retries"):
                    self.count(encoded, "delayed" if place == "due" else "retries", -1)
                self.end(action, encoded)

    def firsts(self) -> list[bytes]:
        """Those that their workers have come to: the first that each has been brought, and has not settled."""
        brought = [held.claims for held in self.workers.values() if not (held.handed or held.nudged)]
        return [next(filter(None, claims)) for claims in brought if any(claims)]

    def take_claim(self, encoded: bytes, firsts: list[bytes]) -> None:
        for name, held in self.workers.items():
            if encoded in held.claims:
                index = held.claims.index(encoded)
                if encoded in firsts and self.live.get(decode_record(encoded).id) != ((name, held.open, index), True):
                    self.emit("started", encoded)
                held.claims[index] = b""
                if held.handed or held.nudged:
                    held.handed, held.nudged = False, True

    def resume(self, kind: str, at: float, encoded: bytes) -> None:
        if kind == "W":
            self.emit("waiting", encoded)
            self.push([encoded])
        else:
            self.delay("due" if kind == "D" else "retries", encoded, at)

    def end(self, action: str, encoded: bytes) -> None:
        record = decode_record(encoded)
        begin, end, *_ = _around(action, 0.0)
        self.tell(record.id, begin + encode(record.queue) + encode(record.name) + end, action == "cancel")
        self.emit("cancelled", encoded)
        if action == "cancel":
            self.counts[record.queue]["cancelled"] += 1
        self.cancelled.add(encoded)

    def revise(
        self, arguments: Sequence[Argument], pages: Sequence[bytes], index: int, again: bool
    ) -> list[bytes | int]:
        """`pages`: what history holds of that queue and status now."""
        stored = arguments[2]
        if stored not in pages:
            return [0]
        assert isinstance(stored, bytes)
        record = decode_finished(decode_raw_page(stored).jobs[index]).record
        if again and self.is_given(record.id) and record.id in self.ids:
            return [-1, record.id.encode()]
        if again:
            renewed = fresh(record)
            encoded = encode(renewed)
            if self.is_given(record.id):
                self.ids[record.id] = record.queue
            self.outcomes.pop(record.id, None)
            self.cancelled = {one for one in self.cancelled if decode_record(one).id != record.id}
            self.begin(encoded, None)
        elif arguments[6]:
            self.outcomes.pop(record.id, None)
        return [1]

    def is_given(self, id: str) -> bool:
        return "-" not in id

    def tells_of(self, id: str, status: str) -> bool:
        """Whether the outcome that there is tells of a run that ended so."""
        return id not in self.ids and id in self.outcomes and decode_outcome(self.outcomes[id]).status == status

    def listen(self, lasting: bool) -> None:
        if not lasting:
            self.events.clear()
        self.listening = lasting

    # -- schedules

    def schedule(self, call: str, id: str, queue: str, version: str, first: int) -> bytes:
        if call not in self.calls:
            self.calls[call] = "taken" if id in self.schedules or id in self.ids else "new"
            if self.calls[call] == "new":
                self.ids[id] = queue
                self.outcomes.pop(id, None)
                self.schedules[id] = Planned(version, first)
        return self.calls[call].encode()

    def fire(self, id: str, seen: Planned, firing: int, following: int, body: Sequence[Argument]) -> bytes:
        planned = self.schedules.get(id)
        if planned is None or (planned.version, planned.due) != (seen.version, seen.due):
            return b"gone"
        planned.due = following
        before = job_id(id, seen.last) if seen.last else ""
        if before in self.ids or self.add(body) != "1":
            return b"skipped"
        planned.fired, planned.last = planned.fired + 1, firing
        return b"fired"

    def remove(self, id: str) -> bytes:
        if id not in self.schedules:
            return b"0"
        del self.schedules[id], self.ids[id]
        return b"1"


def state_of(planned: Planned) -> msgspec.Raw:
    """The beginning of what the server holds of a schedule."""
    return msgspec.Raw(f"{planned.version} {planned.due} {planned.fired} {planned.last} ".encode())
