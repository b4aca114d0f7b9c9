"""The invariants of queues and of who is there: supervisors, workers, what they hold. Each yields what breaks it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tempotask.store.facts import Facts, Violation
from tempotask.store.values import number


def ring(facts: Facts) -> Iterator[Violation]:
    """A queue is on the ring if and only if its lists are not empty and it is not paused; once."""
    held = facts.snapshot.get("ring")
    on_it, as_held = Counter(held.texts()), dict(zip(held.texts(), held.items, strict=True))
    for queue, lists in facts.lists().items():
        times = on_it.pop(queue, 0)
        about = ("paused", *(f"queue:{priority}:{queue}" for priority in lists or "0"))
        mend: tuple[str, str | bytes] = ("ring", queue)
        if times > 1:
            yield Violation("ring", f"has {queue} {times} times", about, mend=mend)
        elif lists and not times and queue not in facts.paused:
            yield Violation("ring", f"has no {queue}, in which jobs wait", about, mend=mend)
        elif times and queue in facts.paused:
            yield Violation("ring", f"has {queue}, which is paused", about, mend=mend)
        elif times and not lists:
            yield Violation("ring", f"has {queue}, in which nothing waits", about, mend=mend)
    for queue in on_it:
        # As it is held: it may be no text.
        mend = ("ring", as_held[queue])
        yield Violation("ring", f"has {queue}, in which nothing waits", (f"queue:0:{queue}",), mend=mend)


def priorities(facts: Facts) -> Iterator[Violation]:
    """`priorities:<queue>` has those that its lists have, if they are others than 0."""
    for queue, lists in facts.lists().items():
        key, used = f"priorities:{queue}", facts.snapshot.pairs(f"priorities:{queue}")
        for priority in sorted({*lists, *used} if used else {*lists} - {"0"}):
            about, mend = (f"queue:{priority}:{queue}",), ("priority", queue, priority)
            if priority not in used:
                yield Violation(key, f"does not have {priority!r}, with which jobs wait", about, mend=mend)
            elif priority not in lists:
                yield Violation(key, f"has {priority!r}, with which nothing waits", about, mend=mend)
            elif float(used[priority]) != number(priority):
                yield Violation(key, f"has {priority!r} at {used[priority]}", about, mend=mend)


# -- who is there


def supervisors(facts: Facts) -> Iterator[Violation]:
    """Leases and registrations go together."""
    known = set(facts.snapshot.pairs("supervisors"))
    for supervisor in sorted(known - set(facts.leases)):
        yield Violation(
            "leases", f"has no lease of supervisor {supervisor}", ("supervisors",), mend=("lease", supervisor)
        )
    for supervisor in sorted(set(facts.leases) - known):
        yield Violation("supervisors", f"does not know {supervisor}, which has a lease", ("leases",))
    for supervisor, _ in facts.snapshot.called("orders:"):
        if supervisor not in known:
            name = f"orders:{supervisor}"
            yield Violation(name, "is of a supervisor that nobody knows", ("supervisors",), mend=("orders", supervisor))


def workers(facts: Facts) -> Iterator[Violation]:
    """Workers are of supervisors with a lease; those of swept ones are lost."""
    for worker, supervisor in facts.workers.items():
        lease, own = facts.leases.get(supervisor), facts.snapshot.pairs(f"worker:{worker}").get("supervisor")
        about = ("leases", f"worker:{worker}", "lost")
        if lease is None:
            text = f"has {worker} of supervisor {supervisor}, which has no lease"
            yield Violation("workers", text, about, mend=("lease", supervisor))
        elif lease == "swept":
            yield Violation("workers", f"has {worker} of supervisor {supervisor}, whose lease was swept", about)
        if worker in facts.lost:
            yield Violation("lost", f"has {worker}, which is registered", ("workers",))
        if own != supervisor:
            text = f"says that its supervisor is {own}, and workers says {supervisor}"
            yield Violation(f"worker:{worker}", text, ("workers",))
    for worker, supervisor in facts.lost.items():
        if facts.leases.get(supervisor) != "swept":
            yield Violation("lost", f"has {worker} of supervisor {supervisor}, which was not swept", ("leases",))
    for worker, _ in facts.snapshot.called("worker:"):
        if not facts.is_known(worker):
            mend = ("worker", worker)
            yield Violation(f"worker:{worker}", "is of a worker that nobody knows", ("workers", "lost"), mend=mend)


def claims(facts: Facts) -> Iterator[Violation]:
    """Claims are held under the open turn of a worker that is known, and their holes are counted."""
    for rest, stored in facts.snapshot.called("claims:"):
        worker, _, turn = rest.rpartition(":")
        key, me = f"claims:{rest}", f"worker:{worker}"
        state = facts.snapshot.pairs(me)
        if not facts.is_known(worker) or state.get("open") != turn:
            whose = "a turn that is not open" if facts.is_known(worker) else "a worker that nobody knows"
            records = sum(sighting.key == key for sighting in facts.sightings.values())
            alone = records == len(stored.items) - stored.items.count(b"")
            mend = ("claims", worker, turn) if alone else ()
            yield Violation(key, f"is of {whose}", (me, "workers", "lost"), mend=mend)
        elif number(state.get("holes")) != (holes := stored.items.count(b"")):
            text = f"says {state.get('holes', 0)} holes, and there are {holes} holes"
            yield Violation(me, text, (key,), mend=("holes", worker))
    for worker, state in ((worker, stored.pairs()) for worker, stored in facts.snapshot.called("worker:")):
        name = f"claims:{worker}:{state.get('open', '')}"
        if state.get("open") and facts.snapshot.get(name).kind == "none":
            yield Violation(f"worker:{worker}", f"has the open turn {state['open']} and no claims", (name,))


def idle(facts: Facts) -> Iterator[Violation]:
    """Idle workers are registered and hold nothing."""
    for worker in facts.snapshot.pairs("idle"):
        state, mend = facts.snapshot.pairs(f"worker:{worker}"), ("idle", worker)
        about = ("workers", f"worker:{worker}")
        if worker not in facts.workers:
            yield Violation("idle", f"has {worker}, which is not registered", about, mend=mend)
        elif state.get("open"):
            yield Violation("idle", f"has {worker}, which holds claims", about, mend=mend)
        elif "idle" not in state:
            yield Violation("idle", f"has {worker}, which is at work", about, mend=mend)


def wakes(facts: Facts) -> Iterator[Violation]:
    """What is handed over, or a nudge, lies where the worker went idle."""
    for rest, _ in facts.snapshot.called("wake:"):
        worker, _, turn = rest.rpartition(":")
        if facts.snapshot.pairs(f"worker:{worker}").get("idle") != turn:
            about, mend = (f"worker:{worker}",), ("wake", worker, turn)
            yield Violation(f"wake:{rest}", "is of a worker that does not wait for it", about, mend=mend)
