"""What a supervisor does for schedules, in its clerk's thread.

1. declares those of its application, and ends those that no live supervisor declares any more;
2. fires what is due, when its housekeeper renews the lease: each firing once, as the server compares and sets;
3. of the firings that were missed, while no supervisor lived or none got to it, lets the latest take place, or all,
   one after the other, where `catch_up` is set.
"""

from __future__ import annotations

import itertools
import logging
import random
from collections.abc import Mapping, Sequence

from tempotask.errors import ServerFull
from tempotask.repeat import Repeat
from tempotask.store import schedules
from tempotask.store.records import read_registration
from tempotask.store.schedules import Planned, Policy, Schedule
from tempotask.store.store import Store

log = logging.getLogger("tempotask")

CAUGHT_UP = 1000
"""Firings at most that `catch_up` makes good; the oldest of more are let go."""
MISSED = 1000
"""Milliseconds late from which a firing counts as missed, and not as one that falls into the run before it."""
WHEN_FULL, WHEN_UNREADABLE, WHEN_OLD = 1.0, 60.0, 1.0
"""Seconds after which a schedule is looked at again: if the server is full; if its definition can't be read; if other
supervisors declare it, and not as it is."""


def declare(store: Store, declared: Sequence[Schedule], *, again: bool = False) -> bool:
    """Puts the schedules of an application, after its supervisor was registered with them; ends those that nobody
    declares. What is as it was keeps its next time, so that a firing that was missed takes place.

    Of several forms of one schedule that is declared the newest counts. `again`: puts only those that are lost, or
    whose form no live supervisor declares any more, as after a deploy that was taken back. Whether all of
    them are there: there was room, and no schedule that was added is called so.
    """
    forms, room = _Forms(store) if again else None, True
    for schedule in declared:
        instead_of: Planned | str = ""
        if forms is not None:
            planned = schedules.get(store, schedule.id)
            if planned is not None and (planned.added or forms.has(planned)):
                room = room and not planned.added
                continue
            instead_of = planned or schedules.NOTHING
        room = _declare(store, schedule, instead_of) and room
    _remove_undeclared(store, [planned for planned in schedules.every(store) if not planned.added])
    return room


def _declare(store: Store, schedule: Schedule, instead_of: Planned | str) -> bool:
    try:
        if not schedules.declare(store, schedule, instead_of=instead_of):
            log.error("schedule %s is not put: one that was added is called so; cancel that", schedule.id)
            return False
    except ServerFull:
        log.error("schedule %s is not put yet: the server is full", schedule.id)
        return False
    return True


def fire(store: Store, declared: Sequence[Schedule] = ()) -> None:
    """Fires what is due: some of it, if it is much; the rest is due again at once. `declared`: by the application."""
    now, due = schedules.due(store)
    if any(not planned.added for planned in due):
        gone = _remove_undeclared(store, [planned for planned in due if not planned.added])
        due = [planned for planned in due if planned.id not in gone]
        due = _without_old_forms(store, due, declared)
    for planned in due:
        try:
            _fire(store, planned, now)
        except ServerFull:
            log.error("schedule %s does not fire: the server is full", planned.id)
            schedules.look_later(store, planned, WHEN_FULL)


def _without_old_forms(store: Store, due: Sequence[Planned], declared: Sequence[Schedule]) -> list[Planned]:
    """Those of these schedules that are live in this form. The others begin anew in the form that is declared here,
    or are left to those who declare them."""
    forms, own = _Forms(store), {schedule.id: schedule for schedule in declared}
    live = []
    for planned in due:
        if planned.added or forms.has(planned):
            live.append(planned)
        elif planned.id in own:
            log.info("schedule %s is as it is declared here: no application declares it as it was", planned.id)
            _declare(store, own[planned.id], planned)
        else:
            schedules.look_later(store, planned, WHEN_OLD)
    return live


def _fire(store: Store, planned: Planned, now: int) -> None:
    schedule = planned.schedule
    if schedule is None:
        log.error("schedule %s can't be read here: it is of another version, or in an unknown time zone", planned.id)
        schedules.look_later(store, planned, WHEN_UNREADABLE)
        return
    repeat = schedule.repeat
    try:
        firing = _oldest(repeat, planned.next, now) if repeat.catch_up else repeat.latest(planned.next, now)
        if repeat.catch_up and firing > planned.next > planned.fired_at:
            log.warning(
                "schedule %s missed more than %s firings, and makes the latest %s good",
                planned.id,
                CAUGHT_UP,
                CAUGHT_UP,
            )
        following = repeat.after(firing)
    except Exception:
        # A pattern that nobody can compute must not take the supervisor with it.
        log.exception("schedule %s does not fire", planned.id)
        schedules.look_later(store, planned, WHEN_UNREADABLE)
        return
    policy: Policy = "overlap" if repeat.overlap else "skip"
    if repeat.catch_up and not repeat.overlap and (now - firing >= MISSED or firing <= planned.fired_at):
        # It was missed, or was due already when the one before it was made good.
        policy = "wait"
    delay = random.uniform(0.0, float(repeat.jitter)) if repeat.jitter else 0.0  # type: ignore[arg-type]
    schedules.fire(store, planned, firing, following, policy, delay=delay)


def _oldest(repeat: Repeat, first: int, now: int) -> int:
    """The first of the firings up to now that are to be made good."""

    def too_many(since: int) -> bool:
        missed = itertools.takewhile(lambda firing: firing <= now, repeat.following(since))
        return sum(1 for _ in itertools.islice(missed, CAUGHT_UP + 1)) > CAUGHT_UP

    low, high = first - 1, now
    if not too_many(low):
        return first
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if too_many(middle) else (low, middle)
    return repeat.after(high) or first


def _remove_undeclared(store: Store, candidates: Sequence[Planned]) -> set[str]:
    """Ends those of these schedules that no live supervisor declares. Returns which of them none declares."""
    registrations = store.registrations()
    declared = _declared(registrations)
    gone = [planned for planned in candidates if planned.id not in declared]
    for planned in gone:
        if schedules.remove_undeclared(store, planned, registrations):
            log.info("schedule %s ends: no application declares it any more", planned.id)
    return {planned.id for planned in gone}


def _declared(registrations: Mapping[str, bytes]) -> set[str]:
    found: set[str] = set()
    for told in registrations.values():
        # One of another version looks after its own.
        if (registration := read_registration(told)) is not None:
            found.update(id for id, _ in registration.schedules)
    return found


class _Forms:
    """The forms in which live supervisors declare schedules."""

    def __init__(self, store: Store) -> None:
        told = [read_registration(told) for told in store.registrations().values()]
        # One that can't be read here is of another version, and may declare anything.
        self._any = None in told
        self._known = {tuple(one) for registration in told if registration for one in registration.schedules}

    def has(self, planned: Planned) -> bool:
        """Whether one declares this schedule as it is, or may."""
        return self._any or (planned.id, planned.form) in self._known
