"""Writing pages of history anew: without jobs that are deleted, or wait again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from tempotask.names import is_automatic
from tempotask.store.lists import Filter, counts
from tempotask.store.look import Found
from tempotask.store.pages import decode_finished, decode_raw_page, keys_of, stored_page
from tempotask.store.reading import PAGES
from tempotask.store.records import FINISHED, Finished, Record, Status, decode_outcome, encode, flag
from tempotask.store.script import Argument
from tempotask.store.store import Store

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
            self._store.run("revise", outcome.queue, found.status, "", "", 0, 1, found.id, 0, 0)
            return DONE
        if again and found.finished is not None and not _repeatable(found.finished):
            return UNABLE
        stored = found.place[1]
        assert isinstance(stored, bytes)
        revision = _Revision(self._store, record.queue, found.status, stored)
        return revision.revise(lambda job: job.record.id == found.id, again=again)

    def all(self, wanted: Filter, *, again: bool) -> int:
        """Acts on all such jobs that are finished by now; how many."""
        acted = 0
        for one in counts(self._store, None if wanted.queue is None else [wanted.queue]):
            for status in FINISHED:
                if wanted.any_of(status):
                    acted += self._history(one.row.name, status, wanted.name, again=again)
        return acted

    def _history(self, queue: str, status: Status, name: str | None, *, again: bool) -> int:
        """From the oldest page on, so that jobs wait again in their old order; no further than there are pages now,
        or jobs that fail again at once would go on for ever."""
        key, acted, passed = f"history:{queue}:{status}", 0, 0
        left = self._store.read("LLEN", key)
        while left > 0:
            some = self._store.read("LRANGE", key, -passed - min(PAGES, left), -passed - 1)
            if not some:
                break
            for stored in reversed(some):
                left -= 1
                revision = _Revision(self._store, queue, status, stored)
                answer = revision.revise(lambda job: name is None or job.record.name == name, again=again)
                acted += revision.acted
                # One that is not there any more is not passed by: another has taken its place.
                passed += answer != GONE and revision.stored != b""
        return acted


class _Revision:
    """Of one page, a hundred jobs at a time."""

    def __init__(self, store: Store, queue: str, status: Status, stored: bytes) -> None:
        self._store = store
        self._queue = queue
        self._status = status
        self.stored = stored
        """Empty when all its jobs are gone."""
        self.acted = 0

    def revise(self, chosen: Callable[[Finished], bool], *, again: bool) -> str:
        """Acts on those jobs that are chosen, some at a time."""
        in_use: set[str] = set()
        while self.stored:
            page, keys = decode_raw_page(self.stored), keys_of(self.stored)
            jobs = [decode_finished(raw) for raw in page.jobs]
            indices = [
                i
                for i, job in enumerate(jobs)
                if chosen(job) and job.record.id not in in_use and (not again or _repeatable(job))
            ][:AT_ONCE]
            if not indices:
                break
            going = [jobs[i].record for i in indices]
            ids = {record.id for record in going}
            kept = [raw for i, raw in enumerate(page.jobs) if i not in set(indices)]
            others = [key for key in keys if _owner(key) not in ids]
            new = stored_page(page.with_jobs(kept), others) if kept else b""
            own = [key for key in keys if _owner(key) in ids and not (again and key.startswith("payload:"))]
            reply = self._send(new, going, own, again=again)
            # If it is as it should be already, the reply was lost and the call was sent once more.
            if reply[0] == 0 and not (new and self._is_there(new)):
                return GONE
            if reply[0] == -1:
                in_use.add(str(reply[1], "utf-8"))
                continue
            self.acted += len(going)
            self.stored = new
        return IN_USE if in_use and not self.acted else DONE

    def _send(self, new: bytes, going: Sequence[Record], keys: Sequence[str], *, again: bool) -> list[Any]:
        ids: list[str] = []
        if not again:
            # A newer run of the same id may have ended in another way, and keeps its outcome. Where one begins anew,
            # the script forgets what there is.
            every = [record.id for record in going]
            ids = [id for id, told in zip(every, self._store.ask("", every), strict=True) if self._tells_of(told)]
        flat: list[Argument] = [len(ids), *ids, len(keys), *keys]
        flat.append(len(going) if again else 0)
        for record in going if again else ():
            flat += ("" if is_automatic(record.id) else "1", encode(_fresh(record)))
        reply: list[Any] = self._store.run("revise", self._queue, self._status, self.stored, new, len(going), *flat)
        return reply

    def _is_there(self, page: bytes) -> bool:
        return self._store.read("LPOS", f"history:{self._queue}:{self._status}", page) is not None

    def _tells_of(self, outcome: bytes | None) -> bool:
        return outcome is not None and decode_outcome(outcome).status == self._status


def _owner(key: str) -> str:
    """The id of the job that a key on a page's list belongs to: `payload:<number>:<id>`, `log:<id>`."""
    kind, _, rest = key.partition(":")
    return rest.partition(":")[2] if kind == "payload" else rest


def _repeatable(job: Finished) -> bool:
    """Whether all is there that it needs to run again: a large payload may have been let go."""
    return not flag(job.record, "g")


def _fresh(record: Record) -> Record:
    """The record as it was when it was added, for the next run."""
    outside = f"p{number}" if (number := flag(record, "p")) else ""
    return msgspec.structs.replace(record, flags=outside, tries=0, errors=None, children=None)
