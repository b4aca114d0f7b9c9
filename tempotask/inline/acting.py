"""InlineActing: acting on jobs in memory. Most have finished; some wait in a paused queue, or in a running handler."""

from __future__ import annotations

from tempotask.inline.memory import Memory
from tempotask.store.acting import Acting
from tempotask.store.lists import Filter
from tempotask.store.look import Found
from tempotask.store.records import FINISHED


def fits(wanted: Filter, found: Found) -> bool:
    """Whether that job is meant."""
    return wanted.any_of(found.status) and wanted.fits(found)


class InlineActing(Acting):
    """What `Acting` does on a server."""

    def __init__(self, memory: Memory) -> None:
        super().__init__(memory, 0)
        self._memory = memory

    def cancel(self, id: str, queue: str = "") -> bool:
        """Whether it will not run: one that waits does not. One that runs, in another thread, can't be ended here."""
        return self._memory.cancel(id)

    def pause(self, id: str) -> bool:
        """Whether that changed anything: a job that waits then stays so until it is resumed."""
        return self._memory.park(id)

    def resume(self, id: str) -> bool:
        """Whether that changed anything."""
        return self._memory.unpark(id)

    def toggle(self, id: str) -> bool:
        """Pauses or resumes a job; whether it is paused now."""
        return not self.resume(id) and self.pause(id)

    def delete(self, id: str) -> bool:
        """Whether there was such a job, which nobody knows any more."""
        waited = self._memory.cancel(id, forgotten=True)
        return self._memory.drop(id) or waited

    def retry(self, id: str) -> bool:
        """Whether it was a finished job, and ran again."""
        return self._memory.rerun(id)

    def cancel_all(self, wanted: Filter) -> int:
        """Cancels all such jobs that wait; how many."""
        return sum(self._memory.cancel(found.id) for found in self._those(wanted))

    def cancel_begun_with(self, beginning: str, queue: str) -> int:
        """Cancels the jobs of a queue whose ids begin so, and that wait; how many."""
        waiting = self._those(Filter(queue, "waiting"))
        return sum(self._memory.cancel(found.id) for found in waiting if found.id.startswith(beginning))

    def delete_all(self, wanted: Filter) -> int:
        """Deletes all such jobs; how many."""
        waiting = [found for found in self._those(wanted) if found.status not in FINISHED]
        gone = sum(self._memory.cancel(found.id, forgotten=True) for found in waiting)
        return gone + self._memory.forget(lambda found: fits(wanted, found))

    def retry_all(self, wanted: Filter) -> int:
        """Runs all such jobs again, the oldest first, of an id only its newest run; how many."""
        those = reversed(self._those(wanted))
        return sum(self._is_newest(found) and self._memory.rerun(found.id) for found in those)

    def delete_everything(self) -> int:
        """Deletes all jobs; how many."""
        return self.delete_all(Filter())

    def _is_newest(self, found: Found) -> bool:
        newest = self._memory.found(found.id)
        return newest is not None and newest.finished is found.finished

    def _those(self, wanted: Filter) -> list[Found]:
        return [found for found in self._memory.jobs() if fits(wanted, found)]
