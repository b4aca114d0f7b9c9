"""What the server must hold, told in Python: the protocol's moves without a server.

The model follows every script that runs. What it leaves to the server is which waiting jobs a claim takes, and where
holes are; mirror.py insists that what was claimed was first in line.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from play import Ending, Results, Verdict

from tempotask.store.records import Record, decode_record, encode
from tempotask.store.script import Argument


@dataclass
class Held:
    """What the server holds of a worker."""

    supervisor: str
    last: int = 0
    open: str = ""
    claims: list[bytes] = field(default_factory=list)
    idle: int = 0
    """The number of the turn that went idle; its wake list is named after it."""
    resting: bool = False
    """On the idle list."""
    handed: bool = False
    """Something was handed over and lies in the wake list."""
    nudged: bool = False
    """An empty message lies in the wake list."""
    lost: bool = False


@dataclass
class Planned:
    """A schedule."""

    version: str
    due: int
    fired: int = 0
    last: int = 0


class Model:
    """The state of a namespace. The methods are the scripts; each returns what must be the reply."""

    def __init__(self) -> None:
        self.calls: dict[str, str] = {}
        self.lines: dict[str, dict[int, list[bytes]]] = defaultdict(lambda: defaultdict(list))
        """The waiting records by queue and priority."""
        self.paused: set[str] = set()
        self.due: dict[bytes, float] = {}
        self.retries: dict[bytes, float] = {}
        self.parked: dict[str, tuple[str, float, bytes]] = {}
        """By id: what it was, its time, the record."""
        self.workers: dict[str, Held] = {}
        self.leases: dict[str, str] = {}
        self.ids: dict[str, str] = {}
        self.schedules: dict[str, Planned] = {}
        self.outcomes: dict[str, bytes] = {}
        self.counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self.waiters: dict[str, list[str]] = {}
        self.waits: dict[str, list[bytes]] = defaultdict(list)
        self.listening = False
        self.events: list[tuple[str, str]] = []
        self.live: dict[str, tuple[tuple[str, str, int], bool]] = {}
        """By id: which start of the job told how it is, and whether listeners know that it started."""
        self.cancelled: set[bytes] = set()
        """Records of runs that were cancelled or deleted."""
        self.refused = self.added = self.ended = 0
        self.tokens = self.highest_token = 0
        """Fencing tokens given since the last comparison, and the highest then."""

    # -- moves inside the scripts

    def push(self, records: Iterable[bytes], *, front: bool = False) -> None:
        records = list(records)
        for encoded in reversed(records) if front else records:
            record = decode_record(encoded)
            line = self.lines[record.queue][int(record.priority)]
            line.insert(0 if front else len(line), encoded)

    def count(self, encoded: bytes, field: str, by: int) -> None:
        self.counts[decode_record(encoded).queue][field] += by

    def emit(self, kind: str, encoded: bytes) -> None:
        if self.listening:
            self.events.append((kind, decode_record(encoded).id))

    def delay(self, name: str, encoded: bytes, at: float) -> None:
        getattr(self, name)[encoded] = at
        self.count(encoded, "delayed" if name == "due" else "retries", 1)

    def promote(self) -> None:
        now = time.time() * 1000
        for held, counted in ((self.due, "delayed"), (self.retries, "retries")):
            for _, encoded in sorted((score, encoded) for encoded, score in held.items() if score <= now):
                del held[encoded]
                self.emit("waiting", encoded)
                self.push([encoded])
                self.count(encoded, counted, -1)

    def begin(self, encoded: bytes, due: int | None) -> None:
        self.added += 1
        if due is not None:
            self.delay("due", encoded, due)
        else:
            self.emit("waiting", encoded)
            self.push([encoded])

    def add(self, body: Sequence[Argument]) -> str:
        """The jobs of an enqueue call, as scripts read them."""
        answer, rest = "", iter(body)
        for kind in rest:
            if kind == "group":
                number = [next(rest) for _ in range(3)][-1]
                for _ in range(int(number)):
                    self.begin(_bytes(next(rest)), None)
                continue
            id, due, _, record = (next(rest) for _ in range(4))
            new = not id or id not in self.ids
            answer += "1" if new else "0"
            if new:
                encoded = _bytes(record)
                if id:
                    self.ids[str(id)] = decode_record(encoded).queue
                    self.outcomes.pop(str(id), None)
                self.begin(encoded, int(due) if due else None)
        return answer

    def tell(self, id: str, outcome: bytes, kept: bool) -> None:
        """Who waits for a job is told how it ended."""
        clients = self.waiters.pop(id, [])
        for client in clients:
            self.waits[client].append(id.encode() + b" " + outcome)
        if kept or clients:
            self.outcomes[id] = outcome
        self.ids.pop(id, None)
        self.live.pop(id, None)
        self.ended += 1

    def settle(self, endings: Sequence[Ending], told: bool) -> None:
        for ending in endings:
            record = ending.record
            assert encode(record) not in self.cancelled, "what was cancelled does not end in another way"
            if ending.again:
                encoded = encode(ending.again)
                if ending.pause:
                    self.delay("retries", encoded, float("inf"))  # until the server tells when
                else:
                    self.push([encoded])
                continue
            self.tell(record.id, ending.outcome, ending.keep > 0)
            self.counts[record.queue][ending.status] += 1
        for ending in endings:
            if ending.child:
                self.add(ending.child.body())
        if told and self.listening:
            self.events += [("retrying" if one.again else one.status, one.record.id) for one in endings]
            self.events += [("waiting", one.again.id) for one in endings if one.again and not one.pause]

    # -- the scripts

    def enqueue(self, call: str, body: Sequence[Argument]) -> bytes:
        if call not in self.calls:
            self.calls[call] = self.add(body)
        return self.calls[call].encode()

    def turn(self, worker: str, number: int, want: int, results: Results, told: bool) -> tuple[str, tuple[int, ...]]:
        """`again` and `claim` stand for the two kinds of `jobs`."""
        held = self.workers.get(worker)
        if held is None or held.lost:
            return "gone", ()
        if number <= held.last:
            return "stale", (held.last,)
        held.last = number
        mine = results.turn != "" and results.turn == held.open
        indices = [i for i in range(results.first, results.stop) if i not in results.missing]
        taken = tuple(i for i in indices if i >= len(held.claims) or not held.claims[i])
        if mine and taken:
            self.refused += len(taken)
            return "refused", taken
        if mine and self.listening and not told:
            return "listened", ()
        held.idle, held.resting, held.handed, held.nudged = 0, False, False, False
        if mine:
            for i, ending in zip(indices, results.endings, strict=True):
                assert held.claims[i] == encode(ending.record), "a result settles the job that it is of"
                held.claims[i] = b""
            self.settle(results.endings, told)
            if results.first == 0 and results.stop >= len(held.claims):
                held.open, held.claims = "", []
        else:
            self.refused += len(indices) if results.turn else 0
        if want == 0:
            return "settled", ()
        self.promote()
        held.claims = [encoded for encoded in held.claims if encoded]
        held.open = str(number) if held.claims else ""
        self.tokens += len(held.claims)
        return ("again" if held.claims else "claim"), ()

    def say(self, worker: str, turn: str, index: int, encoded: bytes) -> int:
        held = self.workers.get(worker)
        if held is None or held.open != turn or held.claims[index : index + 1] != [encoded]:
            return 0
        id, start = decode_record(encoded).id, (worker, turn, index)
        known = self.live.get(id) == (start, True)
        if self.listening and not known:
            self.emit("started", encoded)
            known = True
        self.live[id] = start, known
        return 2 if known else 1

    def give_back_tail(self, worker: str, turn: str, start: int) -> int:
        held = self.workers.get(worker)
        if held is None or held.open == "" or held.open != turn:
            return 0
        given = [encoded for encoded in held.claims[start:] if encoded]
        self.push(given, front=True)
        held.claims = held.claims[:start]
        held.open = held.open if start else ""
        return len(given)

    def give_back_all(self, worker: str, verdict: Verdict) -> tuple[int, bool]:
        held = self.workers.pop(worker, None)
        if held is None:
            return 0, False
        claims, turn = held.claims, verdict.turn
        counts = turn != "" and turn == held.open and all(i < len(claims) and claims[i] for i in verdict.judged)
        if counts:
            for i in verdict.judged:
                claims[i] = b""
            for i, encoded in verdict.replaced:
                claims[i] = encoded
                self.emit("stalled", encoded)
            self.settle(verdict.endings, True)
        given = [encoded for encoded in claims if encoded]
        self.push(given, front=True)
        if self.listening:
            self.events.append(("worker", worker))
        return len(given), counts and len(verdict.judged) > 0

    def register(self, supervisor: str, fresh: bool, workers: Sequence[str]) -> bool:
        lease = self.leases.get(supervisor)
        if lease == "swept" or (lease is None and not fresh):
            return False
        self.leases.setdefault(supervisor, "")
        for worker in workers:
            self.workers.setdefault(worker, Held(supervisor))
            if self.listening:
                self.events.append(("worker", worker))
        return True

    def renew(self, supervisor: str, tidy: bool) -> bool:
        if self.leases.get(supervisor, "swept") == "swept":
            return False
        if tidy:
            self.promote()
        return True

    def sweep(self, supervisor: str, lost: str, seen: str) -> set[str] | None:
        lease = self.leases.get(lost)
        if self.leases.get(supervisor, "swept") == "swept" or lease is None:
            return None
        if lease != "swept":
            if lease != seen or int(lease) > time.time() * 1000:
                return None
            self.leases[lost] = "swept"
        left = {name for name, held in self.workers.items() if held.supervisor == lost}
        for name in left:
            self.workers[name].lost, self.workers[name].resting = True, False
        if not left:
            del self.leases[lost]
        return left

    def leave(self, supervisor: str) -> int:
        left = sum(held.supervisor == supervisor for held in self.workers.values())
        if not left:
            self.leases.pop(supervisor, None)
        return left

    def ask(self, client: str, ids: Sequence[str]) -> list[bytes | None]:
        answers = [None if id in self.ids else self.outcomes.get(id) for id in ids]
        for id, answer in zip(ids, answers, strict=True):
            if client and answer is None and client not in self.waiters.setdefault(id, []):
                self.waiters[id].append(client)
        return answers

    def unfinished(self) -> list[Record]:
        """All jobs that have not ended, as often as they are anywhere."""
        held = [claims for worker in self.workers.values() for claims in worker.claims if claims]
        waiting = [encoded for lines in self.lines.values() for line in lines.values() for encoded in line]
        parked = [encoded for _, _, encoded in self.parked.values()]
        return [decode_record(encoded) for encoded in (*held, *waiting, *self.due, *self.retries, *parked)]


def _bytes(argument: Argument) -> bytes:
    assert isinstance(argument, bytes)
    return argument
