"""What a snapshot of a namespace shows, sorted for proving the invariants (check.py)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from tempotask.store.pages import keys_of
from tempotask.store.records import head
from tempotask.store.script import Argument
from tempotask.store.snapshot import Snapshot, Stored


class Violation(NamedTuple):
    """One thing that is not as it must be."""

    key: str
    """Without the prefix of the namespace."""
    text: str
    about: tuple[str, ...] = ()
    """Other keys that it follows from."""
    job: str = ""
    """The job that seems to be missing."""
    mend: tuple[Argument, ...] = ()
    """The arguments with which mend.lua puts it right; nothing where that would be guessing."""

    @property
    def subject(self) -> tuple[str, str]:
        """The same in two passes, though the numbers in the text may differ."""
        return self.key, re.sub(r"\d+ ", "", self.text)


class Sighting(NamedTuple):
    """Where a record was seen, and what its head says."""

    key: str
    flags: str
    queue: str
    priority: str
    kind: str = ""
    """Of a parked one, what it was: `W` waiting, `D` delayed, `R` between two tries."""

    def payload(self, id: str) -> str:
        """The key of its payload outside; empty for none."""
        number = re.search(r"p(\d+)", self.flags)
        return f"payload:{number[1]}:{id}" if number else ""


class Facts:
    """A snapshot, and what it says of queues, jobs and workers."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.queues = set(snapshot.get("queues").texts())
        self.paused = set(snapshot.get("paused").texts())
        self.workers = snapshot.pairs("workers")
        self.lost = snapshot.pairs("lost")
        self.leases = snapshot.pairs("leases")
        self.schedules = snapshot.pairs("schedules")
        self.sightings: dict[str, Sighting] = {}
        """Jobs that have not finished, by id."""
        self.misplaced = [*self._sort(), *self._unknown_queues()]

    def is_known(self, worker: str) -> bool:
        """Whether a worker is registered, or its host was lost and it is still to be given back."""
        return worker in self.workers or worker in self.lost

    def is_added(self, id: str) -> bool:
        """Whether a schedule is called so that was added by a producer."""
        return self.schedules.get(id, "").startswith("a")

    def lists(self) -> dict[str, dict[str, Stored]]:
        """The lists of each queue, by priority."""
        lists: dict[str, dict[str, Stored]] = {queue: {} for queue in self.queues}
        for rest, stored in self.snapshot.called("queue:"):
            priority, _, queue = rest.partition(":")
            lists.setdefault(queue, {})[priority] = stored
        return lists

    def in_place(self, key: str, kinds: str = "") -> Counter[str]:
        """How many jobs of each queue are under that key; of parked ones those of these kinds."""
        there = (
            sighting for sighting in self.sightings.values() if sighting.key == key and sighting.kind in (kinds or [""])
        )
        return Counter(seen.queue for seen in there)

    def belongings(self) -> set[str]:
        """The keys that go with pages of history: payloads outside, logs."""
        names: set[str] = set()
        for _, pages in self.snapshot.called("history:"):
            for page in pages.items:
                names.update(keys_of(page))
        return names

    # -- records

    def _sort(self) -> Iterator[Violation]:
        """Fills `sightings`."""
        for key, kind, field, record in self._records():
            try:
                flags, id, queue, priority = head(record)
            except ValueError:
                yield Violation(key, "holds something that is no record")
                continue
            if key.startswith("queue:") and key != f"queue:{priority}:{queue}":
                yield Violation(key, f"holds job {id} of queue {queue}, priority {priority}")
            if kind and (field != id or kind not in "WDR"):
                yield Violation(key, f"holds job {id} under {field!r}, as {kind!r}")
            if id in self.sightings:
                other = self.sightings[id].key
                yield Violation(key, f"holds job {id}, and so does {other}", about=(other,))
            else:
                self.sightings[id] = Sighting(key, flags, queue, priority, kind)

    def _records(self) -> Iterator[tuple[str, str, str, bytes]]:
        """The key of each record; of parked ones also the kind and the id under which it stands there."""
        for first in ("queue:", "claims:"):
            for rest, stored in self.snapshot.called(first):
                for record in filter(None, stored.items):
                    yield first + rest, "", "", record
        for name in ("due", "retries"):
            for record in self.snapshot.get(name).items[::2]:
                yield name, "", "", record
        parked = self.snapshot.get("parked").items
        for field, told in zip(parked[::2], parked[1::2], strict=True):
            before, _, record = told.partition(b" ")
            yield "parked", before[:1].decode(errors="replace") or "?", field.decode(errors="replace"), record

    def _unknown_queues(self) -> Iterator[Violation]:
        for queue in sorted({seen.queue for seen in self.sightings.values()} - self.queues):
            yield Violation("queues", f"has no {queue}, and there are jobs of it", mend=("queue", queue))
