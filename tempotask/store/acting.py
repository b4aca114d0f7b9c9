"""Acting on jobs: cancel, delete, pause, resume, try again; one by its id, or all that a filter means.

A job that has not finished is looked for and acted on where it is, by one script, which does both in one step
(act.lua). Finished jobs stand on pages of history, which are written anew (revise.lua). Many are acted on in bounded
steps, so that the server is never held long; those that move meanwhile are met at the next pass.
"""

from __future__ import annotations

from collections.abc import Iterator

from tempotask.store import look, schedules
from tempotask.store.lists import Filter, counts
from tempotask.store.look import LOOKS, Found
from tempotask.store.pages import Page
from tempotask.store.reading import COUNT, host_of, workers
from tempotask.store.records import DELETED, FINISHED, NIL, Finished, Outcome, Record, encode
from tempotask.store.revising import DONE, GONE, Revising
from tempotask.store.script import Argument
from tempotask.store.store import Store

PASSES = 20
"""As often are all places gone through, at most: jobs move from one that is still to be seen to one that was."""
POPPED = 200
"""Elements that one script takes when it takes whatever comes."""
KEEP_MS = 3_600_000
"""How long it is known that a job was cancelled."""

Place = tuple[Argument, ...]


class Acting:
    """Acts on the jobs of one namespace."""

    def __init__(self, store: Store, kept: int) -> None:
        self._store = store
        self._kept = kept
        """How many cancelled jobs the history of a queue keeps."""
        self._revising = Revising(store)

    # -- one job

    def cancel(self, id: str, queue: str = "") -> bool:
        """Whether it will not run, or run no further; a finished one stays as it is. `queue`: as for `look.find`."""
        return self._act_on("cancel", id, queue)

    def withdraw(self, id: str) -> bool:
        """Cancels a job that no worker has yet; whether it will not run. One that a worker has is left to it."""
        for _ in range(LOOKS):
            found = look.find(self._store, id)
            if found is None or found.record is None or found.status not in ("waiting", "delayed"):
                return found is not None and found.status == "cancelled"
            if self._walk("cancel", found.place, Filter(found.record.queue), id) > 0:
                return True
        return False

    def pause(self, id: str) -> bool:
        """Whether that changed anything: a waiting or delayed job then stays so until it is resumed."""
        return self._act_on("pause", id)

    def resume(self, id: str) -> bool:
        """Whether that changed anything."""
        return self._act_on("resume", id)

    def toggle(self, id: str) -> bool:
        """Pauses or resumes a job; whether it is paused now."""
        found = look.find(self._store, id)
        if found is not None and found.paused:
            self.resume(id)
        else:
            self.pause(id)
        # Not as it was answered: somebody else may have been faster.
        found = look.find(self._store, id)
        return found is not None and found.paused

    def delete(self, id: str) -> bool:
        """Whether there was such a job. Nobody knows it any more, and who waits for it is told that it is cancelled."""
        gone = self._act_on("delete", id)
        tried = False
        for _ in range(LOOKS):
            # Earlier runs of this id too, which would be found otherwise.
            found = look.find(self._store, id)
            if found is None or found.status not in FINISHED:
                # Seen before and nowhere now: somebody else was faster.
                return gone or (tried and found is None)
            tried = True
            gone = self._revising.one(found, again=False) == DONE or gone
        return gone

    def retry(self, id: str) -> bool:
        """Whether that had it wait again, with fresh tries: a finished job does, as long as history keeps it."""
        for _ in range(LOOKS):
            found = look.find(self._store, id)
            if found is None or found.status not in FINISHED:
                return False
            answer = self._revising.one(found, again=True)
            if answer != GONE:
                return answer == DONE
        return False

    def _act_on(self, action: str, id: str, queue: str = "") -> bool:
        """Acts on a job that has not finished, where it is; as often as it moves away."""
        tried = False
        for _ in range(LOOKS):
            found = look.find(self._store, id, queue)
            if tried and _is_done(action, found):
                # Somebody else was faster. That it is paused, or is not, was not changed here.
                return action in ("cancel", "delete")
            if found is None or found.record is None or not _concerns(action, found):
                return False
            if found.schedule is not None:
                # One that a task declares lives while a supervisor declares it.
                ends = action in ("cancel", "delete") and found.schedule.added
                return ends and schedules.remove(self._store, id)
            if self._walk(action, found.place, Filter(found.record.queue), id) > 0:
                return True
            tried = True
        return False

    # -- many jobs

    def cancel_all(self, wanted: Filter) -> int:
        """Cancels all such jobs that have not finished; how many."""
        return self._act_on_all("cancel", wanted)

    def cancel_begun_with(self, beginning: str, queue: str) -> int:
        """Cancels the jobs of a queue whose ids begin so, up to their last `-`, and that no worker has; how many. What
        a worker has and, within an hour, gives back or would have tried again is cancelled then."""
        wanted = Filter(queue)
        # No id has a space in it: act.lua takes one at the end for "and so on".
        ids, total = f"{beginning} ", self._walk("cancel", ("later",), wanted, f"{beginning} ")
        for _ in range(PASSES):
            places = [place for place in self._places(wanted) if place[0] != "claims"]
            acted = sum(self._walk("cancel", place, wanted, ids) for place in places)
            total += acted
            if acted == 0:
                break
        return total

    def delete_all(self, wanted: Filter) -> int:
        """Deletes all such jobs; how many."""
        return self._act_on_all("delete", wanted) + self._revising.all(wanted, again=False)

    def retry_all(self, wanted: Filter) -> int:
        """Has all such jobs that are finished wait again, with fresh tries; how many."""
        return self._revising.all(wanted, again=True)

    def delete_everything(self) -> int:
        """Deletes all jobs, and the schedules that were added as jobs are; how many."""
        added = [planned.id for planned in schedules.every(self._store) if planned.added]
        return sum(schedules.remove(self._store, id) for id in added) + self.delete_all(Filter())

    def _act_on_all(self, action: str, wanted: Filter) -> int:
        total = 0
        for _ in range(PASSES):
            acted = sum(self._walk(action, place, wanted) for place in self._places(wanted))
            total += acted
            if acted == 0:
                break
        return total

    def _places(self, wanted: Filter) -> Iterator[Place]:
        """Where such jobs may be, in the order in which most of them move."""
        if wanted.any_of("delayed"):
            yield "set", "due", 0, COUNT
            yield "set", "retries", 0, COUNT
        if wanted.any_of("waiting", "delayed"):
            kinds = ("W" if wanted.any_of("waiting") else "") + ("DR" if wanted.any_of("delayed") else "")
            yield "parked", 0, COUNT, kinds
        if wanted.any_of("waiting"):
            for one in counts(self._store, None if wanted.queue is None else [wanted.queue]):
                for key in one.keys:
                    yield "list", key, 0, COUNT
        if wanted.any_of("processing"):
            for worker in workers(self._store):
                yield "claims", worker
        if wanted.any_of("delayed") and wanted.any_of("processing"):
            # Tries that failed meanwhile.
            yield "set", "retries", 0, COUNT

    def _walk(self, action: str, place: Place, wanted: Filter, id: str = "") -> int:
        """Goes through one place to its end, or until that one job has been acted on; how many were."""
        acted = 0
        if place[0] == "claims":
            place = (*place, self._page_of(str(place[1])))
        if place[0] == "list" and not (id or wanted.name or action == "pause"):
            # All that are looked at are acted on, which takes longer.
            place = (*place[:3], POPPED)
        while True:
            terms = (action, id, wanted.queue or "", wanted.name or "", *self._store.limits, KEEP_MS, self._kept)
            number, following = self._store.change("act", *terms, *_around(action, self._store.now()), *place)
            acted += int(number)
            if following == b"" or (id and acted and not id.endswith(" ")):
                return acted
            # What to replace by where to go on: a set and a list are named before it.
            at = 1 if place[0] == "parked" else 2
            place = (*place[:at], following, *place[at + 1 :])

    def _page_of(self, worker: str) -> bytes:
        """A page of history of what this worker holds, up to its jobs."""
        return _page_begin(worker, host_of(self._store, worker) or "")


def _concerns(action: str, found: Found) -> bool:
    if action == "pause":
        return found.status in ("waiting", "delayed") and not found.paused
    if action == "resume":
        return found.paused
    return found.status not in FINISHED


def _is_done(action: str, found: Found | None) -> bool:
    if action == "delete":
        return found is None
    if found is None:
        return False
    return found.status == "cancelled" if action == "cancel" else found.paused == (action == "pause")


def _around(action: str, now: float) -> tuple[bytes, ...]:
    """What the script puts around a record to make an outcome and a page of history of it: what stands before queue
    and name in an outcome, and behind them; a page up to its list of jobs; what stands before a record in a finished
    job, and behind it."""
    failure = DELETED if action == "delete" else None
    outcome = encode(Outcome("cancelled", "", "", failure=failure))
    start = len(outcome) - len(encode("")) * 2 - len(encode(NIL)) - len(encode(failure))
    record = Record("", "", "", "", "", 0.0)
    job = encode(Finished(record, None, now, failure=failure))
    return outcome[:start], outcome[start + 2 :], _page_begin("", ""), job[:1], job[1 + len(encode(record)) :]


def _page_begin(worker: str, host: str) -> bytes:
    return encode(Page[Finished](worker, host, 0.0, []))[:-1]
