"""The runs of an id: a job that a user named may have finished several times, and history keeps more than the last."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tempotask.names import is_automatic
from tempotask.store.pages import Page, decode_finished, decode_raw_page
from tempotask.store.reading import Head, histories, pages, queue_names
from tempotask.store.records import FINISHED, UNREADABLE, Finished, Status, decode_outcome
from tempotask.store.store import Store


class _Ended(msgspec.Struct, array_like=True, gc=False):
    """The beginning of a finished job."""

    record: Head
    started: float | None
    ended: float


_decode = msgspec.msgpack.Decoder(_Ended).decode


def _beginning(raw: msgspec.Raw) -> _Ended | Finished:
    try:
        return _decode(raw)
    except UNREADABLE:
        return decode_finished(raw)


class Newest:
    """Tells which finished jobs are the newest runs of their ids, as `look.find` does for one of them.

    History is gone through once, when the first id that a user gave comes up: the newest run may have ended in another
    way, or in another queue. Where history does not keep that run any more, its outcome may still tell of it.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._ended: dict[str, float] | None = None

    def among(self, queue: str, status: Status, page: Page[msgspec.Raw], jobs: Sequence[Finished]) -> list[bool]:
        """For each job of a page of that history whether it is the newest run of its id."""
        given = list({job.record.id for job in jobs if not is_automatic(job.record.id)})
        if not given:
            return [True] * len(jobs)
        if self._ended is None:
            self._ended = _last_ends(self._store)
        told = zip(given, self._store.outcomes_of(given), strict=True)
        outcomes = {id: decode_outcome(encoded) for id, encoded in told if encoded is not None}
        newest = []
        for job in jobs:
            id, at = job.record.id, job.ended + page.epoch
            outcome = outcomes.get(id)
            if outcome is not None and not outcome.is_of_a_deleted_job:
                may_be = (outcome.queue, outcome.status) == (queue, status)
            else:
                may_be = True
            newest.append(may_be and self._ended.get(id, at) <= at)
        return newest


def _last_ends(store: Store) -> dict[str, float]:
    """When the ids that users gave ended last, in Unix seconds."""
    ends: dict[str, float] = {}
    for key in histories(store, queue_names(store), FINISHED):
        for stored in pages(store, key):
            page = decode_raw_page(stored)
            for job in map(_beginning, page.jobs):
                id, at = job.record.id, job.ended + page.epoch
                if not is_automatic(id) and ends.get(id, at) <= at:
                    ends[id] = at
    return ends
