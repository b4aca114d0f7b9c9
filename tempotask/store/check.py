"""The invariants, proved on a live namespace.

1. every record is in exactly one place: a queue, delayed, between two tries, or claimed;
2. a queue is on the ring if and only if something waits in it, once;
3. claims are held under the open turn of a worker that is registered, or whose host was lost; no idle worker has any;
4. counters equal what they count;
5. ids, payloads and waiters refer to jobs that exist, or ids to schedules; every schedule has a next time;
6. there are no keys but ours, and what should expire will.

A namespace that is at work changes while it is read. What was read at one moment (snapshot.py) is true; of the rest
only those violations are reported that two passes show and that no change in between explains.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from tempotask.store import keys, look
from tempotask.store.records import FINISHED
from tempotask.store.snapshot import MOST, Snapshot, Stored, head, take
from tempotask.store.store import Store

PAUSE = 0.05
"""Seconds between two passes: what a client does in two steps, ask and take back say, is done by then."""
SEARCHED = 1000
"""So many missing jobs are searched for one by one, before more of them are taken for missing."""


class Violation(NamedTuple):
    """One thing that is not as it must be."""

    key: str
    """Without the prefix of the namespace."""
    text: str
    about: tuple[str, ...] = ()
    """Other keys that it follows from."""
    job: str = ""
    """The job that seems to be missing."""
    mend: tuple[str, ...] = ()
    """The arguments with which mend.lua puts it right; nothing where that would be guessing."""

    @property
    def subject(self) -> tuple[str, str]:
        """The same in two passes, though the numbers in the text may differ."""
        return self.key, re.sub(r"\d+ ", "", self.text)


class Place(NamedTuple):
    """Where a record is, and what its head says."""

    key: str
    flags: str
    queue: str
    priority: str


def check(store: Store, most: int = MOST) -> list[Violation]:
    """What is wrong in a namespace, which may be at work. Reads at one moment what has at most `most` elements.

    Raises `ServerUnavailable`.
    """
    shown: dict[tuple[str, str], Violation] = {}
    for number in range(2):
        if number:
            time.sleep(PAUSE)
        found = {violation.subject: violation for violation in Proof(take(store, most)).violations()}
        shown = {subject: found[subject] for subject in found if number == 0 or subject in shown}
        if not shown:
            return []
    searched = [violation for violation in shown.values() if violation.job][:SEARCHED]
    there = {violation for violation in searched if _is_there(store, violation)}
    return [violation for violation in shown.values() if violation not in there]


def _is_there(store: Store, violation: Violation) -> bool:
    """Whether a job that no pass saw is there after all: it may have moved against both."""
    found = look.find(store, violation.job)
    return found is not None and (found.status not in FINISHED or violation.key.startswith("payload:"))


class Proof:
    """What one snapshot shows."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._foreign = [*_foreign(snapshot)]
        foreign = {violation.key for violation in self._foreign}
        known = {name: stored for name, stored in snapshot.keys.items() if name not in foreign}
        self.snapshot = snapshot = snapshot._replace(keys=known)
        self.places: dict[str, Place] = {}
        self.queues = set(snapshot.get("queues").texts())
        self.workers = snapshot.pairs("workers")
        self.lost = snapshot.pairs("lost")
        self.leases = snapshot.pairs("leases")

    def violations(self) -> list[Violation]:
        """All of them, but those that a change while reading may explain."""
        rules = (
            *(self._records, self._ring, self._priorities, self._supervisors, self._workers),
            *(self._claims, self._idle, self._wakes, self._counts, self._results),
            *(self._ids, self._schedules, self._payloads, self._waiters, self._expiries),
        )
        found = [*self._foreign, *(violation for rule in rules for violation in rule())]
        changed = self.snapshot.changed
        return [violation for violation in found if changed.isdisjoint({violation.key, *violation.about})]

    def _expiries(self) -> Iterator[Violation]:
        names = [f"{first}{rest}" for first in ("calls:", "waits:") for rest, _ in self.snapshot.called(first)]
        for name in [*names, "wanted"]:
            stored = self.snapshot.get(name)
            if stored.kind != "none" and stored.expiry < 0:
                yield Violation(name, "never expires", mend=("expire", name))

    # -- records

    def _records(self) -> Iterator[Violation]:
        """Fills `places`."""
        for key, records in self._where_records_are():
            _, _, rest = key.partition(":")
            priority, _, queue = rest.partition(":")
            for record in filter(None, records):
                try:
                    flags, id, own_queue, own_priority = head(record)
                except (ValueError, IndexError):
                    yield Violation(key, "holds something that is no record")
                    continue
                if key.startswith("queue:") and (own_queue, own_priority) != (queue, priority):
                    yield Violation(key, f"holds job {id} of queue {own_queue}, priority {own_priority}")
                if id in self.places:
                    other = self.places[id].key
                    yield Violation(key, f"holds job {id}, and so does {other}", about=(other,))
                else:
                    self.places[id] = Place(key, flags, own_queue, own_priority)

        for queue in sorted({place.queue for place in self.places.values()} - self.queues):
            yield Violation("queues", f"has no {queue}, and there are jobs of it", mend=("queue", queue))

    def _where_records_are(self) -> Iterator[tuple[str, list[bytes]]]:
        for first in ("queue:", "claims:"):
            for rest, stored in self.snapshot.called(first):
                if stored.kind == "list":
                    yield first + rest, stored.items
        for name in ("due", "retries"):
            if self.snapshot.get(name).kind == "zset":
                yield name, self.snapshot.get(name).items[::2]

    def _lists(self) -> dict[str, dict[str, Stored]]:
        """The lists of each queue, by priority."""
        lists: dict[str, dict[str, Stored]] = {queue: {} for queue in self.queues}
        for rest, stored in self.snapshot.called("queue:"):
            priority, _, queue = rest.partition(":")
            lists.setdefault(queue, {})[priority] = stored
        return lists

    def _ring(self) -> Iterator[Violation]:
        ring = Counter(self.snapshot.get("ring").texts())
        for queue, lists in self._lists().items():
            times, about = ring.pop(queue, 0), tuple(f"queue:{priority}:{queue}" for priority in lists or "0")
            mend = ("ring", queue)
            if times > 1:
                yield Violation("ring", f"has {queue} {times} times", about, mend=mend)
            elif lists and not times:
                yield Violation("ring", f"has no {queue}, in which jobs wait", about, mend=mend)
            elif times and not lists:
                yield Violation("ring", f"has {queue}, in which nothing waits", about, mend=mend)
        for queue in ring:
            yield Violation("ring", f"has {queue}, in which nothing waits", (f"queue:0:{queue}",), mend=("ring", queue))

    def _priorities(self) -> Iterator[Violation]:
        for queue, lists in self._lists().items():
            key, used = f"priorities:{queue}", self.snapshot.pairs(f"priorities:{queue}")
            for priority in sorted({*lists, *used} if used else {*lists} - {"0"}):
                about, mend = (f"queue:{priority}:{queue}",), ("priority", queue, priority)
                if priority not in used:
                    yield Violation(key, f"does not have {priority!r}, with which jobs wait", about, mend=mend)
                elif priority not in lists:
                    yield Violation(key, f"has {priority!r}, with which nothing waits", about, mend=mend)
                elif float(used[priority]) != float(priority):
                    yield Violation(key, f"has {priority!r} at {used[priority]}", about, mend=mend)

    # -- who is there

    def _supervisors(self) -> Iterator[Violation]:
        known = set(self.snapshot.pairs("supervisors"))
        for supervisor in sorted(known - set(self.leases)):
            yield Violation(
                "leases", f"has no lease of supervisor {supervisor}", ("supervisors",), mend=_lease(supervisor)
            )
        for supervisor in sorted(set(self.leases) - known):
            yield Violation("supervisors", f"does not know {supervisor}, which has a lease", ("leases",))
        for supervisor, _ in self.snapshot.called("orders:"):
            if supervisor not in known:
                name = f"orders:{supervisor}"
                yield Violation(
                    name, "is of a supervisor that nobody knows", ("supervisors",), mend=("orders", supervisor)
                )

    def _workers(self) -> Iterator[Violation]:
        for worker, supervisor in self.workers.items():
            lease, own = self.leases.get(supervisor), self.snapshot.pairs(f"worker:{worker}").get("supervisor")
            about = ("leases", f"worker:{worker}", "lost")
            if lease is None:
                text = f"has {worker} of supervisor {supervisor}, which has no lease"
                yield Violation("workers", text, about, mend=_lease(supervisor))
            elif lease == "swept":
                yield Violation("workers", f"has {worker} of supervisor {supervisor}, whose lease was swept", about)
            if worker in self.lost:
                yield Violation("lost", f"has {worker}, which is registered", ("workers",))
            if own != supervisor:
                text = f"says that its supervisor is {own}, and workers says {supervisor}"
                yield Violation(f"worker:{worker}", text, ("workers",))
        for worker, supervisor in self.lost.items():
            if self.leases.get(supervisor) != "swept":
                yield Violation("lost", f"has {worker} of supervisor {supervisor}, which was not swept", ("leases",))
        for worker, _ in self.snapshot.called("worker:"):
            if not self._is_known(worker):
                mend = ("worker", worker)
                yield Violation(f"worker:{worker}", "is of a worker that nobody knows", ("workers", "lost"), mend=mend)

    def _is_known(self, worker: str) -> bool:
        return worker in self.workers or worker in self.lost

    def _claims(self) -> Iterator[Violation]:
        for rest, stored in self.snapshot.called("claims:"):
            worker, _, turn = rest.rpartition(":")
            key, me = f"claims:{rest}", f"worker:{worker}"
            state = self.snapshot.pairs(me)
            if not self._is_known(worker) or state.get("open") != turn:
                whose = "a turn that is not open" if self._is_known(worker) else "a worker that nobody knows"
                number = sum(place.key == key for place in self.places.values())
                alone = number == len(stored.items) - stored.items.count(b"")
                mend = ("claims", worker, turn) if alone else ()
                yield Violation(key, f"is of {whose}", (me, "workers", "lost"), mend=mend)
            elif _number(state.get("holes")) != (holes := stored.items.count(b"")):
                text = f"says {state.get('holes', 0)} holes, and there are {holes} holes"
                yield Violation(me, text, (key,), mend=("holes", worker))
        for worker, state in ((worker, stored.pairs()) for worker, stored in self.snapshot.called("worker:")):
            name = f"claims:{worker}:{state.get('open', '')}"
            if state.get("open") and self.snapshot.get(name).kind == "none":
                yield Violation(f"worker:{worker}", f"has the open turn {state['open']} and no claims", (name,))

    def _idle(self) -> Iterator[Violation]:
        for worker in self.snapshot.pairs("idle"):
            state, mend = self.snapshot.pairs(f"worker:{worker}"), ("idle", worker)
            about = ("workers", f"worker:{worker}")
            if worker not in self.workers:
                yield Violation("idle", f"has {worker}, which is not registered", about, mend=mend)
            elif state.get("open"):
                yield Violation("idle", f"has {worker}, which holds claims", about, mend=mend)
            elif "idle" not in state:
                yield Violation("idle", f"has {worker}, which is at work", about, mend=mend)

    def _wakes(self) -> Iterator[Violation]:
        for rest, _ in self.snapshot.called("wake:"):
            worker, _, turn = rest.rpartition(":")
            if self.snapshot.pairs(f"worker:{worker}").get("idle") != turn:
                about, mend = (f"worker:{worker}",), ("wake", worker, turn)
                yield Violation(f"wake:{rest}", "is of a worker that does not wait for it", about, mend=mend)

    # -- counters

    def _counts(self) -> Iterator[Violation]:
        due = Counter(place.queue for place in self.places.values() if place.key == "due")
        for queue in sorted({*self.queues, *due, *(name for name, _ in self.snapshot.called("counts:"))}):
            key = f"counts:{queue}"
            counts = self.snapshot.pairs(key)
            said = _number(counts.get("delayed"))
            if said != due[queue]:
                yield Violation(
                    key, f"says {said} delayed, and there are {due[queue]} delayed", ("due",), mend=("delayed", queue)
                )
            for status in FINISHED:
                pages = self.snapshot.get(f"history:{queue}:{status}")
                kept, there = (
                    int(counts.get(f"{status}:kept", 0)),
                    sum(int.from_bytes(page[:2]) for page in pages.items),
                )
                if kept != there:
                    text = f"says {kept} {status} jobs kept, and there are {there} such jobs"
                    about, mend = (f"history:{queue}:{status}",), ("kept", queue, status)
                    yield Violation(key, text, about, mend=mend)

    def _results(self) -> Iterator[Violation]:
        said, buckets = self.snapshot.pairs("results"), self.snapshot.pairs("buckets")
        there = {name: stored.pairs() for name, stored in self.snapshot.called("outcomes:")}
        for name in sorted({*buckets, *there}):
            key, held = f"outcomes:{name}", there.get(name, {})
            number, size = len(held), sum(map(int, held.values()))
            about, mend = (key, "buckets"), ("bucket", name)
            if name not in buckets:
                yield Violation("buckets", f"has no {name}, which holds outcomes", about, mend=mend)
            if (_number(said.get(f"n:{name}")), _number(said.get(f"b:{name}"))) != (number, size):
                text = f"is wrong about {name}, which has {number} outcomes of {size} bytes"
                yield Violation("results", text, about, mend=mend)
        for letter, what in (("n", "outcomes"), ("b", "bytes")):
            total = sum(_number(number) for field, number in said.items() if field.startswith(f"{letter}:"))
            if _number(said.get(letter)) != total:
                text = f"says {said.get(letter, 0)} {what}, and its buckets have {total} {what}"
                yield Violation("results", text, mend=("totals",))
        for field, name in said.items():
            bucket = name if field.startswith("open:") else field[2:] if field[:2] in ("n:", "b:") else None
            if bucket is not None and bucket not in buckets and bucket not in there:
                yield Violation(
                    "results", f"tells of {bucket}, which is no bucket", ("buckets",), mend=("bucket", bucket)
                )

    # -- what refers to jobs

    def _ids(self) -> Iterator[Violation]:
        given, scheduled = self.snapshot.pairs("ids"), self.snapshot.pairs("schedules")
        for id, queue in given.items():
            if scheduled.get(id, "").startswith("a"):
                continue
            place = self.places.get(id)
            if place is None:
                yield Violation("ids", f"has {id}, a job that has finished or never was", job=id, mend=("id", id))
            elif place.queue != queue:
                yield Violation("ids", f"has {id} in queue {queue}, and it is in {place.queue}", (place.key,))
        for id, place in self.places.items():
            if id not in given and not AUTOMATIC.fullmatch(id):
                mend = ("given", id, place.queue)
                yield Violation("ids", f"does not have {id}, a job that has not finished", (place.key,), mend=mend)

    def _schedules(self) -> Iterator[Violation]:
        scheduled, firings = self.snapshot.pairs("schedules"), self.snapshot.pairs("firings")
        given, about = self.snapshot.pairs("ids"), ("schedules",)
        over = {id for id, state in scheduled.items() if state.split(" ", 2)[1:2] == ["0"]}
        for id in scheduled.keys() - firings.keys() - over:
            yield Violation("firings", f"does not have {id}, a schedule, which therefore never fires", about)
        for id in firings.keys() - scheduled.keys():
            yield Violation("firings", f"has {id}, which is no schedule", about)
        for id, state in scheduled.items():
            if state.startswith("a") and id not in given:
                yield Violation("ids", f"does not have {id}, a schedule that was added", about)

    def _payloads(self) -> Iterator[Violation]:
        in_history = set()
        for _, pages in self.snapshot.called("history:"):
            for page in pages.items:
                in_history.update(page[4:].decode(errors="replace").split())
        for id, _ in self.snapshot.called("payload:"):
            place = self.places.get(id)
            if (place is None or "p" not in place.flags) and id not in in_history:
                yield Violation(f"payload:{id}", "is of a job that nobody knows", job=id, mend=("payload", id))
        for id, place in self.places.items():
            if "p" in place.flags and f"payload:{id}" not in self.snapshot.keys:
                yield Violation(place.key, f"holds job {id}, whose payload is gone", (f"payload:{id}",))

    def _waiters(self) -> Iterator[Violation]:
        # Who asks for a job that nobody knows waits for it until a search has told so.
        searched = self.snapshot.pairs("wanted")
        for id in self.snapshot.pairs("waiters"):
            if id not in self.places and id not in searched:
                yield Violation(
                    "waiters", f"has {id}, a job that has finished or never was", job=id, mend=("waiter", id)
                )


AUTOMATIC = re.compile(r"[0-9a-z]{15}-\d+")
"""Ids that users may not give."""

KINDS = {"sorted": "zset", "counter": "string"}


def _foreign(snapshot: Snapshot) -> Iterator[Violation]:
    """Keys that are none of ours, of which nothing else can be said."""
    for name, stored in snapshot.keys.items():
        kinds = {kind for pattern, kind in KNOWN if pattern.fullmatch(name)}
        if not kinds:
            yield Violation(name, "is no key of ours")
        elif stored.kind not in kinds:
            yield Violation(name, f"should be a {' or '.join(sorted(kinds))}, and is a {stored.kind}")


def _known() -> list[tuple[re.Pattern[str], str]]:
    """What each key of the table looks like, and its kind."""
    known = []
    for name, text in keys.TABLE.items():
        kind = re.split(r"[ :]", text, maxsplit=1)[0]
        known.append((re.compile(re.sub("<[a-z]+>", ".+", name), re.DOTALL), KINDS.get(kind, kind)))
    return known


KNOWN = _known()


def _number(text: str | None) -> int:
    """A counter; 0 for one that is not there or no number."""
    return int(text) if text and re.fullmatch(r"-?\d+", text) else 0


def _lease(supervisor: str) -> tuple[str, str]:
    return "lease", supervisor
