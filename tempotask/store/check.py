"""The invariants, proved on a live namespace.

1. every record is in exactly one place: a queue, delayed, between two tries, parked, or claimed;
2. a queue is on the ring if and only if its lists are not empty and it is not paused, once;
3. claims are held under the open turn of a worker that is registered, or whose host was lost; no idle worker has any;
4. counters equal what they count;
5. ids, payloads and waiters refer to jobs that exist, or ids to schedules; every schedule has a next time;
6. there are no keys but ours, and what should expire will;
7. names are text; records, pages and the state of schedules can be read by this version.

A namespace that is at work changes while it is read. What was read at one moment (snapshot.py) is true; of the rest
only those violations are reported that two passes show and that no change in between explains.
"""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Iterator

from redis import ResponseError

from tempotask.store import invariants, keys, look, readable, references
from tempotask.store.facts import Facts, Violation
from tempotask.store.records import FINISHED, payload_key
from tempotask.store.snapshot import MOST, Snapshot, take
from tempotask.store.store import Store

PAUSE = 0.05
"""Seconds between two passes: what a client does in two steps, ask and take back say, is done by then."""
SEARCHED = 1000
"""So many missing jobs are searched for one by one, before more of them are taken for missing."""
AT_ONE_MOMENT = (("ring",), ("priority",))
"""What is mended so is looked at again: queues may be filled and emptied all the time."""

RULES = (
    *(invariants.ring, invariants.priorities, invariants.supervisors, invariants.workers),
    *(invariants.claims, invariants.idle, invariants.wakes),
    *(references.counts, references.results, references.ids, references.schedules, references.payloads),
    *(references.live, references.waiters, references.expiries, readable.names),
)


def check(store: Store, most: int = MOST) -> list[Violation]:
    """What is wrong in a namespace, which may be at work. Reads at one moment what has at most `most` elements.

    Raises `ServerUnavailable`.
    """
    found = _broken(store, most)
    try:
        for violation in readable.unreadable(store):
            found.append(violation)
    except ResponseError:
        # A key is of another kind; that is told already, and before it is gone no more can be.
        if not found:
            raise
    return found


def _broken(store: Store, most: int) -> list[Violation]:
    """What breaks the invariants, in two passes."""
    shown: dict[tuple[str, str], Violation] = {}
    for number in range(2):
        if number:
            time.sleep(PAUSE)
        found = {violation.subject: violation for violation in violations(take(store, most))}
        shown = {subject: found[subject] for subject in found if number == 0 or subject in shown}
        if not shown:
            return []
    doubtful = (violation for violation in shown.values() if violation.job or violation.mend[:1] in AT_ONE_MOMENT)
    searched = list(itertools.islice(doubtful, SEARCHED))
    explained = {violation for violation in searched if _may_be_explained(store, violation)}
    return [violation for violation in shown.values() if violation not in explained]


def violations(snapshot: Snapshot) -> list[Violation]:
    """What one snapshot shows, but for what a change while reading may explain."""
    foreign = [*_foreign(snapshot)]
    others = {violation.key for violation in foreign}
    ours = {name: stored for name, stored in snapshot.keys.items() if name not in others}
    facts = Facts(snapshot._replace(keys=ours))
    found = [*foreign, *facts.misplaced, *(violation for rule in RULES for violation in rule(facts))]
    return [violation for violation in found if snapshot.changed.isdisjoint({violation.key, *violation.about})]


def _may_be_explained(store: Store, violation: Violation) -> bool:
    """Whether it is; not where a key of another kind keeps us from looking."""
    try:
        return is_explained(store, violation)
    except ResponseError:
        return False


def is_explained(store: Store, violation: Violation) -> bool:
    """Whether a job that seemed to be missing is there after all, as it may have moved against two passes; or what
    belonged to it has gone with it since; or what two keys say of a queue agrees when both are read at one moment."""
    if violation.mend[:1] in AT_ONE_MOMENT:
        return bool(store.run("snapshot", *violation.mend))
    found = look.find(store, violation.job)
    kind = violation.key.partition(":")[0]
    if kind == "payload":
        of_it = found is not None and found.record is not None and payload_key(found.record) == violation.key
        return of_it or not store.read("EXISTS", violation.key)
    there = found is not None and found.status not in FINISHED
    return there or not store.read("HEXISTS", violation.key, violation.job)


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
