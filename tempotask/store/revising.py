"""Writing pages of history anew: without jobs that are deleted, or wait again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import Raw

from tempotask.names import is_automatic
from tempotask.store.lists import Filter, counts
from tempotask.store.look import LOOKS, Found
from tempotask.store.pages import Page, decode_finished, decode_raw_page, keys_of, stored_page
from tempotask.store.reading import PAGES
from tempotask.store.records import (
    FINISHED,
    UNREADABLE_QUEUE,
    UNREADABLE_TYPE,
    Finished,
    Record,
    Status,
    Unreadable,
    decode_outcome,
    encode,
    flag,
    original,
    payload_key,
)
from tempotask.store.runs import Newest
from tempotask.store.script import Argument
from tempotask.store.store import Store
from tempotask.store.values import number, text

AT_ONCE = 100
"""Jobs that one script lets go of at most."""

DONE, GONE, IN_USE, UNABLE = "done", "gone", "in use", "unable"
"""What became of a try to revise a page: it is done; the page is not there any more, so look again; the id is used by
a job that has not finished; history does not keep enough to run the job again."""


class Revising:
    """Deletes finished jobs, or has them wait again."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def one(self, found: Found, *, again: bool) -> str:
        """Acts on a finished job that was found: one of the words above."""
        record, outcome = found.record, found.outcome
        if record is None or not found.place:
            if again or outcome is None:
                return UNABLE
            # Nothing but its outcome is left.
            _revise(self._store, outcome.queue, found.status, "", "", 0, 1, found.id, 0, 0)
            return DONE
        if again and found.finished is not None and not _repeatable(found.finished):
            return UNABLE
        stored = found.place[1]
        assert isinstance(stored, bytes)
        revision = _Revision(self._store, record.queue, found.status, stored)
        return revision.revise(lambda page, jobs: [job.record.id == found.id for job in jobs], again=again)

    def all(self, wanted: Filter, *, again: bool) -> int:
        """Acts on all such jobs that are finished by now; how many. Of an id that a user gave, only the newest run
        waits again."""
        acted, newest = 0, Newest(self._store) if again else None
        for one in counts(self._store, None if wanted.queue is None else [wanted.queue]):
            for status in FINISHED:
                if wanted.any_of(status):
                    acted += self._history(one.row.name, status, wanted.name, newest)
        return acted

    def _history(self, queue: str, status: Status, name: str | None, newest: Newest | None) -> int:
        """From the oldest page on, so that jobs wait again in their old order; no further than there are pages now,
        or jobs that fail again at once would go on for ever."""

        def chosen(page: Page[Raw], jobs: Sequence[Finished]) -> list[bool]:
            fits = [name is None or job.record.name == name for job in jobs]
            if newest is None:
                return fits
            return [a and b for a, b in zip(fits, newest.among(queue, status, page, jobs), strict=True)]

        key, acted, passed, behind = f"history:{queue}:{status}", 0, 0, b""
        left = self._store.read("LLEN", key)
        while left > 0:
            some, left, passed = self._next(key, behind, left, passed)
            if not some:
                break
            # Asked after the page was read: of a page that is the last no more jobs count later on.
            told = b"" if passed else self._store.read("HGET", f"counts:{queue}", f"{status}:trimmed")
            trimmed = number(text(told or b""))
            for stored in reversed(some):
                left -= 1
                revision = _Revision(self._store, queue, status, stored, trimmed)
                trimmed = 0
                answer = revision.revise(chosen, again=newest is not None)
                acted += revision.acted
                # One that is not there any more is not passed by: another has taken its place.
                if answer != GONE and revision.stored != b"":
                    passed, behind = passed + 1, revision.stored
        return acted

    def _next(self, key: str, behind: bytes, left: int, passed: int) -> tuple[list[bytes], int, int]:
        """The next pages, how many are left to look at, and how many were passed, of which `behind` is the last: of the
        oldest some may have been trimmed off meanwhile."""
        for _ in range(LOOKS):
            if not passed:
                break
            *some, last = self._store.read("LRANGE", key, -passed - min(PAGES, left), -passed) or [b""]
            if last == behind:
                return some, left, passed
            index = self._store.read("LPOS", key, behind, "RANK", -1)
            if index is None:
                break
            passed = max(1, self._store.read("LLEN", key) - index)
        # It was trimmed off itself, or written anew by others: all that is there is looked at, which does no harm.
        left += passed
        return self._store.read("LRANGE", key, -min(PAGES, left), -1), left, 0


class _Revision:
    """Of one page, a hundred jobs at a time."""

    def __init__(self, store: Store, queue: str, status: Status, stored: bytes, trimmed: int = 0) -> None:
        self._store = store
        self._trimmed = trimmed
        """How many of its jobs, the oldest, history keeps no longer: they are left alone."""
        self._queue = queue
        self._status = status
        self.stored = stored
        """Empty when all its jobs are gone."""
        self.acted = 0

    def revise(self, chosen: Callable[[Page[Raw], Sequence[Finished]], list[bool]], *, again: bool) -> str:
        """Acts on those jobs that are chosen, some at a time."""
        in_use: set[str] = set()
        while self.stored:
            page = decode_raw_page(self.stored)
            jobs = [decode_finished(raw) for raw in page.jobs]
            indices = [
                i
                for i, (job, fits) in enumerate(zip(jobs, chosen(page, jobs), strict=True))
                if fits and i >= self._trimmed and job.record.id not in in_use and (not again or _repeatable(job))
            ][:AT_ONCE]
            if not indices:
                break
            going = [jobs[i] for i in indices]
            # What history keeps no longer goes with the last that it keeps.
            last = len(indices) == len(jobs) - self._trimmed
            leaving = set(range(len(jobs)) if last else indices)
            new, keys = _without(self.stored, page, jobs, leaving)
            if again:
                needed = {payload_key(job.record) for job in going}
                keys = [key for key in keys if key not in needed]
            reply = self._send(new, sorted(leaving), going, keys, again=again)
            if reply[0] == 0:
                return GONE
            if reply[0] == -1:
                in_use.add(str(reply[1], "utf-8"))
                continue
            self.acted += len(going)
            self.stored = new
        return IN_USE if in_use and not self.acted else DONE

    def _send(
        self, new: bytes, leaving: Sequence[int], going: Sequence[Finished], keys: Sequence[str], *, again: bool
    ) -> list[Any]:
        ids: list[str] = []
        if not again:
            # A newer run of the same id may have ended in another way, and keeps its outcome. Where one begins anew,
            # the script forgets what there is.
            told = self._store.outcomes_of([job.record.id for job in going])
            ids = [job.record.id for job, outcome in zip(going, told, strict=True) if self._is_told_of(job, outcome)]
        flat: list[Argument] = [len(leaving), *leaving, len(ids), *ids, len(keys), *keys]
        flat.append(len(going) if again else 0)
        for job in going if again else ():
            # What was put aside unread is again what it was: a later version may read it.
            unread = not job.record.name and job.failure is not None and job.failure.type == UNREADABLE_TYPE
            record = original(job.record) if unread else encode(_fresh(job.record))
            ours = is_automatic(job.record.id) or (unread and job.record.queue == UNREADABLE_QUEUE)
            flat += ("" if ours else "1", record)
        return _revise(self._store, self._queue, self._status, self.stored, new, *flat)

    def _is_told_of(self, job: Finished, encoded: bytes | None) -> bool:
        if encoded is None:
            return False
        outcome, record = decode_outcome(encoded), job.record
        return (outcome.queue, outcome.name, outcome.status) == (record.queue, record.name, self._status)


def _revise(store: Store, *arguments: Argument) -> list[Any]:
    """Runs the script; what it has to forget may not be in a sheet."""
    while True:
        reply: list[Any] = store.change("revise", *arguments)
        if reply[0] != -2:
            return reply
        store.outcomes_of([])


def _without(stored: bytes, page: Page[Raw], jobs: Sequence[Finished], leaving: set[int]) -> tuple[bytes, list[str]]:
    """A page without some of its jobs, as it is stored, empty without any; and the keys that went with these."""
    payloads, ids = {payload_key(jobs[i].record) for i in leaving}, {jobs[i].record.id for i in leaving}
    keys = keys_of(stored)
    gone = [key for key in keys if key in payloads or (key.startswith("log@") and key.partition(":")[2] in ids)]
    kept = [raw for i, raw in enumerate(page.jobs) if i not in leaving]
    new = stored_page(page.with_jobs(kept), [key for key in keys if key not in gone]) if kept else b""
    return new, gone


def _repeatable(job: Finished) -> bool:
    """Whether all is there that it needs to run again: a large payload may have been let go."""
    return not flag(job.record, "g") and not isinstance(job.record, Unreadable)


def _fresh(record: Record) -> Record:
    """The record as it was when it was added, for the next run."""
    outside = f"p{number}" if (number := flag(record, "p")) else ""
    return msgspec.structs.replace(record, flags=outside, tries=0, errors=None, children=None)
