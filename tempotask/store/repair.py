"""Mending what `check` finds, where that needs no guessing: counters, the ring, leftovers."""

from __future__ import annotations

from contextlib import suppress

from redis import ResponseError

from tempotask.store import look
from tempotask.store.check import check, is_explained
from tempotask.store.facts import Violation
from tempotask.store.records import FINISHED
from tempotask.store.store import Store
from tempotask.store.values import text


def repair(store: Store) -> list[str]:
    """Mends what can be mended, each thing by one script that looks again first. Returns what was done, a line each.

    Raises `ServerUnavailable`.
    """
    done = []
    for violation in check(store):
        # A key of another kind, which is left, may keep us from mending something.
        with suppress(ResponseError):
            if violation.mend and (what := _mend(store, violation)):
                done.append(f"{violation.key} {violation.text}: {what}")
    return done


def _mend(store: Store, violation: Violation) -> str:
    # Again, since time has passed: as long as its id is taken nobody can add another job of that id.
    if violation.job and is_explained(store, violation):
        return ""
    what = text(store.run("mend", *violation.mend))
    if what and violation.mend[0] == "given":
        id = str(violation.mend[1])
        found = look.find(store, id)
        if found is None or found.status in FINISHED:
            # It ended while its id was put in; nobody would let go of it any more.
            store.run("mend", "id", id)
            return ""
    return what
