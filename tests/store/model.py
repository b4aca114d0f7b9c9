"""What the server must hold, told in Python: the protocol's moves without a server, and a look at a real one.

The model follows every script that runs. The one thing it leaves to the server is which waiting jobs a claim takes;
it insists that they were the first in line. After each step all that the server holds must be what the model holds.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from play import Ending, Results, Verdict

from tempotask.store.records import NIL, OUTSIDE_BYTES, Record, decode_page, decode_record, encode
from tempotask.store.store import NewJob, Store

LOOK = """#!lua flags=no-writes
local all, call = {}, redis.call
for i, key in ipairs(call('KEYS', ARGV[1])) do
  local kind, value = call('TYPE', key).ok, nil
  if kind == 'list' then value = call('LRANGE', key, 0, -1)
  elseif kind == 'hash' then value = call('HGETALL', key)
  elseif kind == 'zset' then value = call('ZRANGE', key, 0, -1, 'WITHSCORES')
  elseif kind == 'set' then value = call('SMEMBERS', key)
  else value = call('GETRANGE', key, 0, 40) end
  all[i] = { key, kind, value }
end
return all
"""


class Snapshot:
    """All keys of a namespace at one moment."""

    def __init__(self, store: Store) -> None:
        self.keys: dict[str, Any] = {}
        client, cut = store.server.client(), len(store.prefix)
        for key, kind, value in client.eval(LOOK, 1, store.ring, f"{store.prefix}*"):
            if kind == b"hash":
                value = {value[i].decode(): value[i + 1] for i in range(0, len(value), 2)}
            elif kind == b"zset":
                value = {value[i]: float(value[i + 1]) for i in range(0, len(value), 2)}
            self.keys[key[cut:].decode()] = value

    def get(self, key: str, otherwise: Any) -> Any:
        return self.keys.get(key, otherwise)

    def under(self, start: str) -> Iterator[tuple[str, Any]]:
        """The keys that begin so, without that beginning."""
        return ((key[len(start) :], value) for key, value in self.keys.items() if key.startswith(start))


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
    lost: bool = False


class Model:
    """The state of a namespace. The methods are the scripts; each returns what must be the reply."""

    def __init__(self) -> None:
        self.calls: dict[str, list[bool]] = {}
        self.lines: dict[str, dict[int, list[bytes]]] = defaultdict(lambda: defaultdict(list))
        """The waiting records by queue and priority."""
        self.due: dict[bytes, float] = {}
        self.retries: dict[bytes, float] = {}
        self.workers: dict[str, Held] = {}
        self.leases: dict[str, str] = {}
        self.ids: dict[str, str] = {}
        self.outcomes: dict[str, bytes] = {}
        self.counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self.waiters: dict[str, list[str]] = {}
        self.waits: dict[str, list[bytes]] = defaultdict(list)
        self.refused = self.tokens = self.added = self.ended = 0

    # -- moves inside the scripts

    def push(self, records: Iterable[bytes], *, front: bool = False) -> None:
        records = list(records)
        for encoded in reversed(records) if front else records:
            record = decode_record(encoded)
            line = self.lines[record.queue][int(record.priority)]
            line.insert(0 if front else len(line), encoded)

    def promote(self) -> None:
        now = time.time() * 1000
        for held in (self.due, self.retries):
            for _, encoded in sorted((score, encoded) for encoded, score in held.items() if score <= now):
                del held[encoded]
                self.push([encoded])
                if held is self.due:
                    self.counts[decode_record(encoded).queue]["delayed"] -= 1

    def settle(self, endings: Iterable[Ending]) -> None:
        for ending in endings:
            record = ending.record
            if ending.again:
                encoded = encode(ending.again)
                if ending.pause:
                    self.retries[encoded] = float("inf")  # until the server tells when
                else:
                    self.push([encoded])
                continue
            clients = self.waiters.pop(record.id, [])
            for client in clients:
                self.waits[client].append(record.id.encode() + b" " + ending.outcome)
            if ending.keep or clients:
                self.outcomes[record.id] = ending.outcome
            self.ids.pop(record.id, None)
            self.counts[record.queue][ending.status] += 1
            self.ended += 1

    # -- the scripts

    def enqueue(self, call: str, jobs: Sequence[NewJob]) -> list[bool]:
        if call in self.calls:
            return self.calls[call]
        created = []
        for job in jobs:
            record = job.record
            created.append(not job.given_id or record.id not in self.ids)
            if not created[-1]:
                continue
            if job.given_id:
                self.ids[record.id] = record.queue
                self.outcomes.pop(record.id, None)
            if len(bytes(record.payload)) > OUTSIDE_BYTES:
                record = msgspec.structs.replace(record, flags="p1", payload=NIL)
            if job.due is None:
                self.push([encode(record)])
            else:
                self.due[encode(record)] = int(job.due * 1000)
                self.counts[record.queue]["delayed"] += 1
        self.added += sum(created)
        self.calls[call] = created
        return created

    def turn(self, worker: str, number: int, want: int, results: Results) -> tuple[str, tuple[int, ...]]:
        """`again` and `claim` stand for the two kinds of `jobs`."""
        held = self.workers.get(worker)
        if held is None or held.lost:
            return "gone", ()
        if number <= held.last:
            return "stale", (held.last,)
        held.last = number
        mine = results.turn != "" and results.turn == held.open
        told = [i for i in range(results.first, results.stop) if i not in results.missing]
        taken = tuple(i for i in told if i >= len(held.claims) or not held.claims[i])
        if mine and taken:
            self.refused += len(taken)
            return "refused", taken
        held.idle, held.resting, held.handed = 0, False, False
        if mine:
            for i, ending in zip(told, results.endings, strict=True):
                assert held.claims[i] == encode(ending.record), "a result settles the job that it is of"
                held.claims[i] = b""
            self.settle(results.endings)
            if results.first == 0 and results.stop >= len(held.claims):
                held.open, held.claims = "", []
        else:
            self.refused += len(told) if results.turn else 0
        if want == 0:
            return "settled", ()
        self.promote()
        held.claims = [encoded for encoded in held.claims if encoded]
        held.open = str(number) if held.claims else ""
        self.tokens += len(held.claims)
        return ("again" if held.claims else "claim"), ()

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
            self.settle(verdict.endings)
        given = [encoded for encoded in claims if encoded]
        self.push(given, front=True)
        return len(given), counts and len(verdict.judged) > 0

    def register(self, supervisor: str, fresh: bool, workers: Sequence[str]) -> bool:
        lease = self.leases.get(supervisor)
        if lease == "swept" or (lease is None and not fresh):
            return False
        self.leases.setdefault(supervisor, "")
        for worker in workers:
            self.workers.setdefault(worker, Held(supervisor))
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

    # -- the server beside the model

    def absorb(self, seen: Snapshot, turner: str = "") -> None:
        """Learns what was claimed in this step: by `turner`, whose turn found nothing in its claims, or by idle workers
        that it was handed over to. It must have been first in line."""
        taken: set[bytes] = set()
        for name, held in self.workers.items():
            told = seen.get(f"worker:{name}", {})
            open = told.get("open", b"").decode()
            if open and not held.open:
                if name == turner:
                    assert open == str(held.last)
                else:
                    number, _, at = open.partition("@")
                    assert held.resting, f"{name} was not idle, and claims {open}"
                    assert number == str(held.idle)
                    assert at, "the name of a hand-over carries the time"
                    held.resting, held.handed = False, True
                held.open, held.claims = open, seen.get(f"claims:{name}:{open}", [])
                self.take(held.claims)
                taken.update(held.claims)
            elif name == turner:
                held.idle, held.resting = held.last, True
        for lines in self.lines.values():
            line = [encoded for priority in sorted(lines, reverse=True) for encoded in lines[priority]]
            mine = [encoded in taken for encoded in line]
            assert mine == sorted(mine, reverse=True), "what is claimed was first in line"
            for priority in lines:
                lines[priority] = [encoded for encoded in lines[priority] if encoded not in taken]

    def take(self, claims: list[bytes]) -> None:
        assert claims
        self.tokens += len(claims)
        alone = [encoded for encoded in claims if set(decode_record(encoded).flags) & {"c", "h"}]
        assert not alone or len(claims) == 1, "what crashed or was on a lost host runs alone"

    def compare(self, seen: Snapshot) -> None:
        """The server holds what the model holds, and its own books are right."""
        lines = {f"{p}:{q}": line for q, lines in self.lines.items() for p, line in lines.items() if line}
        assert dict(seen.under("queue:")) == lines
        ring = [name.decode() for name in seen.get("ring", [])]
        assert sorted(ring) == sorted(queue for queue, lines in self.lines.items() if any(lines.values()))
        assert not (ring and "idle" in seen.keys), "nobody is idle while jobs wait"
        assert seen.get("due", {}) == self.due
        for encoded, score in seen.get("retries", {}).items():
            assert encoded in self.retries
            self.retries[encoded] = score
        assert len(seen.get("retries", {})) == len(self.retries)
        self.compare_workers(seen)
        assert {id: queue.decode() for id, queue in seen.get("ids", {}).items()} == self.ids
        outcomes = [pair for _, bucket in seen.under("outcomes:") for pair in bucket.items()]
        assert len(outcomes) == len(self.outcomes) == int(seen.get("results", {}).get("n", 0))
        assert dict(outcomes) == self.outcomes
        assert {id: names.decode().split() for id, names in seen.get("waiters", {}).items()} == self.waiters
        assert dict(seen.under("waits:")) == {client: told for client, told in self.waits.items() if told}
        assert int(seen.get("tokens", 0)) == self.tokens
        assert int(seen.get("refused", 0)) == self.refused
        self.compare_history(seen)

    def compare_workers(self, seen: Snapshot) -> None:
        for flag, key in ((False, "workers"), (True, "lost")):
            names = {name: held.supervisor.encode() for name, held in self.workers.items() if held.lost is flag}
            assert seen.get(key, {}) == names
        claims = {f"{name}:{held.open}": held.claims for name, held in self.workers.items() if held.claims}
        assert dict(seen.under("claims:")) == claims
        for name, held in self.workers.items():
            assert int(seen.get(f"worker:{name}", {}).get("turn", 0)) == held.last
        idle = {name.encode() for name, held in self.workers.items() if held.resting}
        assert set(seen.get("idle", {})) == idle
        wake = {f"{name}:{held.idle}" for name, held in self.workers.items() if held.handed}
        assert {name for name, _ in seen.under("wake:")} == wake
        leases = {name: lease.decode() for name, lease in seen.get("leases", {}).items()}
        assert leases.keys() == self.leases.keys()
        assert all((leases[name] == "swept") is (lease == "swept") for name, lease in self.leases.items())
        self.leases = leases

    def compare_history(self, seen: Snapshot) -> None:
        shown: dict[str, dict[str, int]] = {}
        outside: set[str] = set()
        for name, pages in seen.under("history:"):
            queue, _, status = name.rpartition(":")
            jobs = [job for page in pages for job in decode_page(page).jobs]
            outside |= {job.record.id for job in jobs if "p" in job.record.flags}
            shown.setdefault(queue, {})[f"{status}:kept"] = len(jobs)
        for queue, counts in seen.under("counts:"):
            told = {status: int(number) for status, number in counts.items()}
            kept = {status: number for status, number in told.items() if status.endswith(":kept")}
            assert kept == shown.get(queue, {})
            assert {s: n for s, n in told.items() if n and s not in kept} == {
                s: n for s, n in self.counts[queue].items() if n
            }
        live = {record.id for record in self.live() if "p" in record.flags}
        payloads = {id for id, _ in seen.under("payload:")}
        assert live <= payloads <= live | outside

    def live(self) -> list[Record]:
        """All jobs that have not ended, as often as they are anywhere."""
        held = [claims for worker in self.workers.values() for claims in worker.claims if claims]
        waiting = [encoded for lines in self.lines.values() for line in lines.values() for encoded in line]
        return [decode_record(encoded) for encoded in (*held, *waiting, *self.due, *self.retries)]
