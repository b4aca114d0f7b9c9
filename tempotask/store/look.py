"""Looking for one job, wherever it is. Nothing changes.

All is read in bounded steps, so that a look never holds the server up. A job may move meanwhile; `find` finds it all
the same, since others build on its "nowhere". Many jobs at once, and the queues: lists.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

from tempotask.names import is_automatic
from tempotask.store import schedules
from tempotask.store.pages import Page, decode_page
from tempotask.store.reading import COUNT, STEP, histories, host_of, open_turns, pages, queue_keys, queue_names, workers
from tempotask.store.records import FINISHED, Finished, Outcome, Record, Status, decode_outcome, decode_record
from tempotask.store.said import live_of
from tempotask.store.schedules import Planned
from tempotask.store.script import Argument
from tempotask.store.store import Store
from tempotask.store.values import text

LOOKS = 100
"""A job that moves away so many times in a row counts as not found, and is left alone; of one that was seen ended each
time, that is told."""


class Found(NamedTuple):
    """A job, wherever it is."""

    id: str
    status: Status
    record: Record | None = None
    """None when only its outcome is left."""
    worker: str | None = None
    """Which worker holds it, or ran it last."""
    started: float | None = None
    """Unix seconds; known of finished jobs, and of those that have been running for a while."""
    host: str | None = None
    """That of the worker."""
    due: float | None = None
    """Unix seconds from which a delayed one may run."""
    finished: Finished | None = None
    page: Page[Any] | None = None
    """The page of history that `finished` stands on."""
    outcome: Outcome | None = None
    schedule: Planned | None = None
    """What is called so, when that is a schedule and no job."""
    paused: bool = False
    """Whether the job is paused on its own."""
    place: tuple[Argument, ...] = ()
    """Where `find` saw it: in the words of act.lua, or `page` and that page of history as it is stored."""

    @property
    def at(self) -> float:
        """What lists are sorted by, in Unix seconds: when it ended, else when it was added."""
        if self.finished is not None and self.page is not None:
            return self.finished.ended + self.page.epoch
        return self.record.enqueued_at if self.record is not None else 0.0


# -- one job


def find(store: Store, id: str, queue: str = "") -> Found | None:
    """The newest run of a job, wherever it is; None if nobody knows it. `queue`: that of the job, where it is known,
    which spares a look into all others.

    Raises `ServerUnavailable`.
    """
    if (outcome := _spread_outcome(store, id)) is not None:
        ended = _with_outcome(store, id, outcome)
        # History does not keep it, if it has not been begun again meanwhile: that forgets its outcome.
        if ended is not None or _spread_outcome(store, id) == outcome:
            return ended or Found(id, outcome.status, outcome=outcome)
    # A user's id may be that of another run by now, in another queue.
    queues = [queue] if queue and is_automatic(id) else None
    scheduled = schedules.get(store, id)
    if scheduled is not None and scheduled.added:
        return _scheduled(scheduled)
    ended = None
    for _ in range(LOOKS):
        mark = store.run("find", id, "mark")
        try:
            unfinished = _unfinished(store, id, queues)
            ended = _ended(store, id, queues) if unfinished is None else None
        finally:
            moved = store.run("find", id, "unmark", mark) == b"1"
        # An ending that is found may be an earlier run's, while this one slipped by.
        if unfinished is not None or not moved:
            break
    found = unfinished or ended
    # One that is declared is called like its task, as a job may be too.
    return _scheduled(scheduled) if found is None and scheduled is not None else found


def status_of(store: Store, id: str, queue: str = "") -> Status | None:
    """Where `find` finds a job, with less to do for one that has ended and was asked for before.

    Raises `ServerUnavailable`.
    """
    if (outcome := _spread_outcome(store, id)) is not None:
        return outcome.status
    found = find(store, id, queue)
    return None if found is None else found.status


def _unfinished(store: Store, id: str, queues: list[str] | None) -> Found | None:
    """Looks at queues (these, or all), claims, delayed and paused jobs in this order: moves the other way change
    `find`'s mark."""
    if queues is None and (given := store.read("HGET", "ids", id)):
        queues = [text(given)]
    if found := _in_lists(store, id, queue_keys(store, queue_names(store) if queues is None else queues)):
        return found
    if found := _in_claims(store, id):
        return found
    for name in ("due", "retries"):
        for first in range(0, store.read("ZCARD", name) + STEP, STEP):
            if record := store.run("find", id, "set", name, first, first + STEP - 1):
                score = store.read("ZSCORE", name, record)
                if score is None:
                    return None  # it has just moved on; the mark knows
                place = ("set", name, max(0, first - STEP), COUNT)
                return Found(id, "delayed", decode_record(record), due=float(score) / 1000, place=place)
    stored = store.read("HGET", "parked", id)
    return parked(id, stored) if stored else None


def _scheduled(planned: Planned) -> Found | None:
    if planned.schedule is None or not planned.next:
        return None
    record = planned.schedule.record(planned.id, planned.schedule.added_at or 0.0)
    return Found(planned.id, "delayed", record, due=planned.next / 1000, schedule=planned)


def _in_lists(store: Store, id: str, keys: Sequence[str]) -> Found | None:
    """In lists of queues: short ones together, so many that one command reads no more than of a long one."""
    lengths = store.read_many([("LLEN", key) for key in keys])
    # One that is empty now gets this job only by a move that changes the mark.
    left = [(key, int(length)) for key, length in zip(keys, lengths, strict=True) if length]
    while left:
        some, room = list[str](), STEP
        while left and (not some or left[-1][1] <= room):
            key, length = left.pop()
            some.append(key)
            room -= length
        record, *others = store.run("find", id, "lists", STEP, *some)
        if record:
            return Found(id, "waiting", decode_record(record), place=("list", text(others[0]), 0, COUNT))
        for long in others:
            if found := _in_list(store, id, text(long)):
                return found
    return None


def _in_list(store: Store, id: str, key: str) -> Found | None:
    """From the tail, since heads are popped and tails appended; until the list ends before the next page."""
    seen = 0
    while seen == 0 or seen < store.read("LLEN", key):
        if record := store.run("find", id, "list", key, -seen - STEP, -seen - 1):
            return Found(id, "waiting", decode_record(record), place=("list", key, seen, COUNT))
        seen += STEP
    return None


def _in_claims(store: Store, id: str) -> Found | None:
    names = workers(store)
    for _ in range(LOOKS):
        before = open_turns(store, names)
        for worker, turn in zip(names, before, strict=True):
            if turn and (record := store.run("find", id, "list", f"claims:{worker}:{turn}", 0, -1)):
                return claimed(decode_record(record), worker, host_of(store, worker), store.read("HGET", "live", id))
        # What was left of a batch is delivered again under the name of the next turn, maybe just behind our back.
        after = open_turns(store, names)
        names = [name for name, old, new in zip(names, before, after, strict=True) if new and new != old]
        if not names:
            return None
    return None


def claimed(record: Record, worker: str, host: str | None, live: bytes | None) -> Found:
    """A job that a worker of that host holds; `live` is what the server has of it while it runs."""
    told = live_of(live, worker, record.tries + 1)
    started = told.started if told is not None else None
    return Found(record.id, "processing", record, worker, started, host=host, place=("claims", worker))


def parked(id: str, stored: bytes) -> Found:
    """A job that is paused on its own, as `parked` keeps it: a letter, the time if it was delayed, the record."""
    when, _, record = stored.partition(b" ")
    status: Status = "waiting" if when.startswith(b"W") else "delayed"
    due = int(when[1:]) / 1000 if status == "delayed" and when[1:].isdigit() else None
    return Found(id, status, decode_record(record), due=due, paused=True, place=("parked", "", COUNT, "WDR"))


def _ended(store: Store, id: str, queues: list[str] | None) -> Found | None:
    """Among the jobs of these queues, or of all, that have ended: from the outcome, which is the newest run's, and the
    history, which tells more and may be shorter or longer."""
    if (outcome := _outcome(store.outcomes_of([id])[0])) is not None:
        return _with_outcome(store, id, outcome) or Found(id, outcome.status, outcome=outcome)
    keys = histories(store, queue_names(store) if queues is None else queues, FINISHED)
    runs = [run for key in keys if (run := _in_history(store, id, key))]
    return max(runs, key=lambda run: run.at) if runs else None


def _spread_outcome(store: Store, id: str) -> Outcome | None:
    """That of a job which has ended, and not been begun again, where it does not stand in a sheet: sheets are left as
    they are, as who polls a job that waits is not to have those of others spread."""
    return _outcome(store.run("find", id, "outcome"))


def _outcome(encoded: bytes | None) -> Outcome | None:
    outcome = decode_outcome(encoded) if encoded else None
    return None if outcome is None or outcome.is_of_a_deleted_job else outcome


def _with_outcome(store: Store, id: str, outcome: Outcome) -> Found | None:
    """A job that ended so, as history tells of it; None where it does not keep it, or not any more."""
    run = _in_history(store, id, f"history:{outcome.queue}:{outcome.status}")
    return None if run is None else run._replace(outcome=outcome)


def _in_history(store: Store, id: str, key: str) -> Found | None:
    needle = id.encode()
    for stored in pages(store, key):
        if needle in stored:
            page = decode_page(stored)
            for job in reversed(page.jobs):
                if job.record.id == id:
                    found = finished(job, page, cast(Status, key.rpartition(":")[2]))
                    return found._replace(place=("page", stored))
    return None


def finished(job: Finished, page: Page[Any], status: Status) -> Found:
    """A finished job, as a page of history tells of it."""
    started = None if job.started is None else job.started + page.epoch
    host = page.host or None
    return Found(job.record.id, status, job.record, page.worker or None, started, host=host, finished=job, page=page)
