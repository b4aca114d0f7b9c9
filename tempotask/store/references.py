"""The invariants of counters and of what refers to jobs: ids, payloads, waiters. Each yields what breaks it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tempotask.names import is_automatic
from tempotask.store.facts import Facts, Violation
from tempotask.store.pages import number_of_jobs
from tempotask.store.records import FINISHED
from tempotask.store.sheets import head
from tempotask.store.values import number


def counts(facts: Facts) -> Iterator[Violation]:
    """The counters of a queue equal what they count."""
    lists, holes = facts.lists(), Counter[str]()
    for queue, stored in lists.items():
        holes[queue] = sum(one.items.count(b"") for one in stored.values())
    counted: tuple[tuple[str, Counter[str], tuple[str, ...]], ...] = (
        ("delayed", facts.in_place("due") + facts.in_place("parked", "D"), ("due", "parked")),
        ("retries", facts.in_place("retries") + facts.in_place("parked", "R"), ("retries", "parked")),
        ("parked", facts.in_place("parked", "W"), ("parked",)),
        ("holes", holes, ()),
    )
    queues = {*facts.queues, *holes, *(name for name, _ in facts.snapshot.called("counts:"))}
    for queue in sorted(queues.union(*(there for _, there, _ in counted))):
        key, said = f"counts:{queue}", facts.snapshot.pairs(f"counts:{queue}")
        keys = tuple(f"queue:{priority}:{queue}" for priority in lists.get(queue, {}))
        for field, there, about in counted:
            if number(said.get(field)) != there[queue]:
                text = f"says {number(said.get(field))} {field}, and there are {there[queue]} {field}"
                yield Violation(key, text, about or keys, mend=("count", queue, field))
        for status in FINISHED:
            pages = facts.snapshot.get(f"history:{queue}:{status}")
            jobs, last = sum(map(number_of_jobs, pages.items)), number_of_jobs(pages.items[-1]) if pages.items else 0
            kept, trimmed = (number(said.get(f"{status}:{what}")) for what in ("kept", "trimmed"))
            about, mend = (f"history:{queue}:{status}",), ("kept", queue, status)
            if kept + trimmed != jobs:
                text = f"says {kept} {status} jobs kept and {trimmed} trimmed, and there are {jobs} such jobs"
                yield Violation(key, text, about, mend=mend)
            elif not 0 <= trimmed <= last:
                text = f"says {trimmed} {status} jobs trimmed, and the last page has {last} jobs"
                yield Violation(key, text, about, mend=mend)


def results(facts: Facts) -> Iterator[Violation]:
    """What is said of outcomes, in all and by bucket, is so."""
    said, buckets = facts.snapshot.pairs("results"), facts.snapshot.pairs("buckets")
    there = {name: stored.pairs() for name, stored in facts.snapshot.called("outcomes:")}
    sheets = {name: [head(sheet) for sheet in stored.items] for name, stored in facts.snapshot.called("sheets:")}
    for name in sorted({*buckets, *there, *sheets}):
        key, held, in_sheets = f"outcomes:{name}", there.get(name, {}), sheets.get(name, [])
        many = len(held) + sum(number for number, _ in in_sheets)
        size = sum(map(int, held.values())) + sum(size for _, size in in_sheets)
        about, mend = (key, f"sheets:{name}", "buckets"), ("bucket", name)
        if name not in buckets:
            yield Violation("buckets", f"has no {name}, which holds outcomes", about, mend=mend)
        if (number(said.get(f"n:{name}")), number(said.get(f"b:{name}"))) != (many, size):
            text = f"is wrong about {name}, which has {many} outcomes of {size} bytes"
            yield Violation("results", text, about, mend=mend)
    for letter, what in (("n", "outcomes"), ("b", "bytes")):
        total = sum(number(said[field]) for field in said if field.startswith(f"{letter}:"))
        if number(said.get(letter)) != total:
            text = f"says {said.get(letter, 0)} {what}, and its buckets have {total} {what}"
            yield Violation("results", text, mend=("totals",))
    for field, name in said.items():
        bucket = name if field.startswith("open:") else field[2:] if field[:2] in ("n:", "b:") else None
        if bucket is not None and bucket not in buckets and bucket not in there:
            yield Violation("results", f"tells of {bucket}, which is no bucket", ("buckets",), mend=("bucket", bucket))


# -- what refers to jobs


def ids(facts: Facts) -> Iterator[Violation]:
    """Ids that users gave are those of jobs that have not finished, or of schedules that were added."""
    given = facts.snapshot.pairs("ids")
    for id, queue in given.items():
        if facts.is_added(id):
            continue
        sighting = facts.sightings.get(id)
        if sighting is None:
            yield Violation("ids", f"has {id}, a job that has finished or never was", job=id, mend=("id", id))
        elif sighting.queue != queue:
            yield Violation("ids", f"has {id} in queue {queue}, and it is in {sighting.queue}", (sighting.key,))
    for id, sighting in facts.sightings.items():
        if id not in given and not is_automatic(id):
            mend = ("given", id, sighting.queue)
            yield Violation("ids", f"does not have {id}, a job that has not finished", (sighting.key,), mend=mend)


def schedules(facts: Facts) -> Iterator[Violation]:
    """Every schedule has a time at which it is looked at, unless it is over; nothing else has."""
    firings, given, about = facts.snapshot.pairs("firings"), facts.snapshot.pairs("ids"), ("schedules",)
    over = {id for id, state in facts.schedules.items() if state.split(" ", 2)[1:2] == ["0"]}
    for id in facts.schedules.keys() - firings.keys() - over:
        text = f"does not have {id}, a schedule, which therefore never fires"
        yield Violation("firings", text, about, mend=("firing", id))
    for id in firings.keys() - facts.schedules.keys():
        yield Violation("firings", f"has {id}, which is no schedule", about, mend=("firing", id))
    for id in facts.schedules:
        if facts.is_added(id) and id not in given:
            yield Violation("ids", f"does not have {id}, a schedule that was added", about)


def payloads(facts: Facts) -> Iterator[Violation]:
    """Payloads outside are of one run each: of a job that has not finished, or of one on a page of history."""
    known = {seen.payload(id): seen for id, seen in facts.sightings.items()} | dict.fromkeys(facts.belongings())
    for rest, _ in facts.snapshot.called("payload:"):
        key, id = f"payload:{rest}", rest.partition(":")[2]
        if key not in known:
            yield Violation(key, "is of a job that nobody knows", job=id, mend=("payload", key))
    for id, sighting in facts.sightings.items():
        if (key := sighting.payload(id)) and key not in facts.snapshot.keys:
            yield Violation(sighting.key, f"holds job {id}, whose payload is gone", (key,))


def live(facts: Facts) -> Iterator[Violation]:
    """Only jobs that have not finished tell how they are."""
    for id in facts.snapshot.pairs("live"):
        if id not in facts.sightings:
            yield Violation("live", f"has {id}, a job that has finished or never was", job=id, mend=("live", id))


def waiters(facts: Facts) -> Iterator[Violation]:
    """Somebody waits only for jobs that have not finished. Who asks for one that nobody knows waits until a search has
    told so, or until it is known that nobody is there any more (renew.lua)."""
    living = {client for client, _ in facts.snapshot.called("client:")}
    for id, clients in facts.snapshot.pairs("waiters").items():
        known = id in facts.sightings or facts.is_added(id)
        if not known and living.isdisjoint(clients.split()):
            yield Violation("waiters", f"has {id}, a job that has finished or never was", job=id, mend=("waiter", id))


def expiries(facts: Facts) -> Iterator[Violation]:
    """What should expire will; so logs need not be of jobs that are still known."""
    firsts = ("calls:", "waits:", "orders:", "stacks:", "standing:", "withdrawn:", "client:", "log:")
    names = [f"{first}{rest}" for first in firsts for rest, _ in facts.snapshot.called(first)]
    for name in [*names, "wanted", "listeners", "events"]:
        stored = facts.snapshot.get(name)
        if stored.kind != "none" and stored.expiry < 0:
            yield Violation(name, "never expires", mend=("expire", name))
