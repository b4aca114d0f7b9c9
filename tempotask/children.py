"""Children: the jobs that one try of a job adds, at once or with its success."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tempotask.errors import InvalidOptions, InvalidPayload
from tempotask.store.addition import Addition, NewJob
from tempotask.store.script import Argument

MOST_CHILDREN = 1000
"""Children of a job that can depend on its success."""
MOST_BYTES = 64 * 2**20
"""What their payloads can have together."""
SHOWN = 1000
"""Ids of children that are kept with their parent."""


class Children:
    """What the running job has added so far. One object serves all jobs of a worker, one after the other."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        """Of all of them, as far as they are shown. Always the same list: not empty means that there are children."""
        self._held: dict[str, NewJob] = {}
        """By id."""
        self._bytes = 0

    def added(self) -> list[str]:
        """Ids of those that are there, whether their parent succeeds or not. For another thread."""
        held = self._held
        return [id for id in self.ids[:] if id not in held]

    def note(self, ids: Iterable[str]) -> None:
        """These have been added."""
        self.ids += list(ids)[: SHOWN - len(self.ids)]

    def hold(self, jobs: Sequence[NewJob]) -> list[bool]:
        """These are to be added with the success of their parent. For each whether it is, or one of its id was before.

        Raises:
            InvalidOptions: more than 1,000 of them.
            InvalidPayload: more than 64 MiB of them.
        """
        created = [job.record.id not in self._held for job in jobs]
        new = {job.record.id: job for job in jobs if job.record.id not in self._held}
        size = self._bytes + sum(len(job.record.payload) for job in new.values())
        if len(self._held) + len(new) > MOST_CHILDREN:
            raise InvalidOptions(
                f"a job can have {MOST_CHILDREN:,} children with on_success; have one of them add the rest "
                "with enqueue_many"
            )
        if size > MOST_BYTES:
            raise InvalidPayload(
                f"the children with on_success have {size:,} bytes of data, and a job's can have {MOST_BYTES:,}; "
                "store the data elsewhere and send its place"
            )
        self._held |= new
        self._bytes = size
        self.note(new)
        return created

    def take(self, *, completed: bool) -> tuple[list[str] | None, list[Argument] | None]:
        """The ids of this try's children, and, if it completed, what adds those that were held: `Addition.body`."""
        ids, held = self.ids[:], self._held
        self.ids.clear()
        self._held, self._bytes = {}, 0
        if not held:
            return ids or None, None
        if not completed:
            return [id for id in ids if id not in held] or None, None
        addition = Addition("")
        for job in held.values():
            addition.add(job)
        return ids, addition.body()
