"""The server beside the model: after each step all that the server holds must be what the model holds."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import msgspec
from model import Held
from operated import Operated, state_of
from seen import Seen, news, opened

from tempotask.store.events import Entry
from tempotask.store.pages import decode_page, keys_of
from tempotask.store.records import decode_record, payload_key

LIMIT = 3
"""Finished jobs that history keeps, of a queue and a status."""


class Mirror(Operated):
    """A model that is held beside a server."""

    holes = 0
    """How many the queues' lists had when they were last looked at."""

    # -- learning

    def absorb(self, seen: Seen, turner: str = "", reply: str = "") -> None:
        """Learns what was claimed in this step: by `turner`, whose turn found nothing in its claims, or by idle workers
        that it was handed over to. It must have been first in line, in a queue that is not paused."""
        taken: set[bytes] = set()
        for name, held in self.workers.items():
            told = seen.get(f"worker:{name}", {})
            open = told.get("open", b"").decode()
            if open and not held.open:
                self.learn_claim(name, held, open, turner)
                held.open, held.claims = open, seen.get(f"claims:{name}:{open}", [])
                self.take(held.claims)
                taken.update(held.claims)
            elif name == turner and reply == "again":
                assert self.holes, "a turn that met no holes does not ask again"
            elif name == turner:
                held.idle, held.resting = held.last, True
            elif held.resting and name.encode() not in seen.get("idle", {}):
                assert self.holes, "a nudge without holes"
                held.resting, held.nudged = False, True
        for lines in self.lines.values():
            line = [encoded for priority in sorted(lines, reverse=True) for encoded in lines[priority]]
            mine = [encoded in taken for encoded in line]
            assert mine == sorted(mine, reverse=True), "what is claimed was first in line"
            for priority in lines:
                lines[priority] = [encoded for encoded in lines[priority] if encoded not in taken]

    def learn_claim(self, name: str, held: Held, open: str, turner: str) -> None:
        if name == turner:
            assert open == str(held.last)
            return
        number, _, at = open.partition("@")
        assert held.resting, f"{name} was not idle, and claims {open}"
        assert number == str(held.idle)
        assert at, "the name of a hand-over carries the time"
        held.resting, held.handed = False, True

    def take(self, claims: list[bytes]) -> None:
        assert claims
        self.tokens += len(claims)
        records = [decode_record(encoded) for encoded in claims]
        assert self.paused.isdisjoint(record.queue for record in records), "nothing is claimed from a paused queue"
        alone = [record for record in records if set(record.flags) & {"c", "h"}]
        assert not alone or len(claims) == 1, "what crashed or was on a lost host runs alone"

    # -- comparing

    def compare(self, seen: Seen) -> None:
        """The server holds what the model holds, and its own books are right."""
        self.compare_queues(seen)
        self.compare_delayed(seen)
        self.compare_workers(seen)
        assert {id: queue.decode() for id, queue in seen.get("ids", {}).items()} == self.ids
        states = {id: bytes(state_of(planned)) for id, planned in self.schedules.items()}
        stored = seen.get("schedules", {})
        assert stored.keys() == states.keys()
        for id, state in states.items():
            version, due, fired, last, _ = stored[id].split(b" ", 4)
            assert b"%s %s %s %s " % (version, due, fired, last) == state
        firings = {id.encode(): planned.due for id, planned in self.schedules.items()}
        assert seen.get("firings", {}) == firings
        outcomes = [pair for _, bucket in seen.under("outcomes:") for pair in bucket.items()]
        outcomes += [pair for _, sheets in seen.under("sheets:") for sheet in sheets for pair in opened(sheet)]
        assert len(outcomes) == len(self.outcomes) == int(seen.get("results", {}).get("n", 0))
        assert dict(outcomes) == self.outcomes
        assert {id: names.decode().split() for id, names in seen.get("waiters", {}).items()} == self.waiters
        waits = {client: sorted(told) for client, told in self.waits.items() if told}
        assert {client: sorted(news(told)) for client, told in seen.under("waits:")} == waits
        self.compare_tokens(int(seen.get("tokens", 0)))
        assert int(seen.get("refused", 0)) == self.refused
        self.compare_history(seen)
        assert ("listeners" in seen.keys) is self.listening
        told, expected = Counter(map(_event, seen.get("events", []))), Counter(self.events)
        assert told == expected, f"{told - expected} too many events, {expected - told} too few"

    def compare_tokens(self, highest: int) -> None:
        """Each claim since the last comparison got one of its own."""
        grown = highest - self.highest_token
        assert grown >= self.tokens
        assert bool(grown) is bool(self.tokens)
        self.highest_token, self.tokens = highest, 0

    def compare_queues(self, seen: Seen) -> None:
        stored = dict(seen.under("queue:"))
        lines = {f"{p}:{q}": line for q, lines in self.lines.items() for p, line in lines.items() if line}
        assert {name: [encoded for encoded in line if encoded] for name, line in stored.items()} == lines
        assert all(line[-1] for line in stored.values()), "holes at the end of a list are let go"
        ring = [name.decode() for name in seen.get("ring", [])]
        ready = {queue for queue, lines in self.lines.items() if any(lines.values()) and queue not in self.paused}
        assert sorted(ring) == sorted(ready)
        assert not (ring and "idle" in seen.keys), "nobody is idle while jobs wait"
        assert {name.decode() for name in seen.get("paused", [])} == self.paused
        self.holes = 0
        for queue in self.lines:
            held = [line for name, line in stored.items() if name.partition(":")[2] == queue]
            holes = sum(line.count(b"") for line in held)
            self.counts[queue]["holes"] = holes
            self.holes += holes

    def compare_delayed(self, seen: Seen) -> None:
        assert seen.get("due", {}) == self.due
        retries = seen.get("retries", {})
        assert retries.keys() == self.retries.keys()
        self.retries |= retries
        parked = seen.get("parked", {})
        assert parked.keys() == self.parked.keys()
        for id, told in parked.items():
            before, _, record = told.partition(b" ")
            kind, at, encoded = self.parked[id]
            assert (before[:1].decode(), record) == (kind, encoded)
            assert float(before[1:] or 0) == at

    def compare_workers(self, seen: Seen) -> None:
        for flag, key in ((False, "workers"), (True, "lost")):
            names = {name: held.supervisor.encode() for name, held in self.workers.items() if held.lost is flag}
            assert seen.get(key, {}) == names
        claims = {f"{name}:{held.open}": held.claims for name, held in self.workers.items() if held.claims}
        assert dict(seen.under("claims:")) == claims
        for name, held in self.workers.items():
            assert int(seen.get(f"worker:{name}", {}).get("turn", 0)) == held.last
        idle = {name.encode() for name, held in self.workers.items() if held.resting}
        assert set(seen.get("idle", {})) == idle
        wake = {f"{name}:{held.idle}": held for name, held in self.workers.items() if held.handed or held.nudged}
        stored = dict(seen.under("wake:"))
        assert stored.keys() == wake.keys()
        for name, held in wake.items():
            assert len(stored[name]) == 1
            assert (stored[name][0] == b"") is held.nudged
        leases = {name: lease.decode() for name, lease in seen.get("leases", {}).items()}
        assert leases.keys() == self.leases.keys()
        assert all((leases[name] == "swept") is (lease == "swept") for name, lease in self.leases.items())
        self.leases = leases

    def compare_history(self, seen: Seen) -> None:
        shown: dict[str, dict[str, int]] = {}
        outside: set[str] = set()
        for name, pages in seen.under("history:"):
            queue, _, status = name.rpartition(":")
            jobs = [job for page in pages for job in decode_page(page).jobs]
            outside.update(itertools.chain.from_iterable(map(keys_of, pages)))
            shown.setdefault(queue, {})[status] = len(jobs)
        for queue, counts in seen.under("counts:"):
            told = {status: int(number) for status, number in counts.items() if int(number)}
            there = {status: number for status, number in told.items() if ":" in status}
            for status, jobs in shown.get(queue, {}).items():
                assert there.get(f"{status}:kept", 0) + there.get(f"{status}:trimmed", 0) == jobs
                assert there.get(f"{status}:kept", 0) <= LIMIT
            # What went off the tails of lists is for those who walk through them.
            others = {status: number for status, number in told.items() if status not in there and status != "cut"}
            assert others == {status: number for status, number in self.counts[queue].items() if number}
        assert {id: told[:1] == b"2" for id, told in seen.get("live", {}).items()} == {
            id: known for id, (_, known) in self.live.items()
        }
        live = {payload_key(record) for record in self.unfinished() if "p" in record.flags}
        payloads = {f"payload:{rest}" for rest, _ in seen.under("payload:")}
        assert payloads == live | {key for key in outside if key.startswith("payload:")}


def _event(entry: list[Any]) -> tuple[str, str]:
    """The kind of an event, and the job or worker that it tells of."""
    _, fields = entry
    told = dict(zip(fields[::2], fields[1::2], strict=True))
    kind, cut, made = told[b"k"].decode(), told.get(b"r", b""), told.get(b"b", b"")
    one = Entry((0, 0), kind, cut, made)
    if cut:
        return kind, one.head()[0]
    if kind == "worker":
        return kind, one.worker()[0]
    told = msgspec.msgpack.decode(made)
    # What a script makes is whole; the workers of these tests tell of no more than the id.
    return kind, str(told[0] if isinstance(told, list) else told)
