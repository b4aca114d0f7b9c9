"""Jobs: looking at jobs and queues, and acting on them. A part of the manager, by the names that users know.

Checks what is asked for, so that nothing is done half; lists.py, acting.py and revising.py do it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tempotask.errors import InvalidOptions
from tempotask.info import JobInfo, JobInfos, QueueInfo, infos_of, queue_infos_of
from tempotask.names import check_name, check_sought
from tempotask.options import whole
from tempotask.store.lists import Filter, status_of
from tempotask.store.reading import queue_names
from tempotask.store.records import FINISHED
from tempotask.twins import twin

if TYPE_CHECKING:
    from tempotask.client import Client
    from tempotask.options import Options
    from tempotask.task import Task

NEWEST = 200
"""Jobs of each queue and status that are listed at most when nobody says how many."""


class Jobs:
    """What a manager can do with jobs that are there. Each method has an awaitable twin, with an `a` in front.

    Each raises `InvalidName` for an id, a queue or a task that is not spelt as these are, and `ServerUnavailable` when
    the server can't be reached; those that change something `NotDurable` too, where `durability` asks for more than the
    server gives; what else, it says.
    """

    options: Options
    tasks: dict[tuple[str, str], Task[Any, Any]]
    _client: Client

    # -- looking

    def get_job_by_id(self, id: str) -> JobInfo | None:
        """All that is known of a job, or None."""
        return self._client.find_info(check_sought(id))

    def get_queues_list(self) -> list[str]:
        """The names of the queues known to the server or declared here, sorted."""
        return sorted({*queue_names(self._client.store), *(queue for queue, _ in self.tasks)})

    def get_jobs_list(self) -> list[str]:
        """The names of the tasks declared here, sorted."""
        return sorted({name for _, name in self.tasks})

    def get_jobs(
        self,
        queue: str | None = None,
        status: str | None = None,
        name: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> JobInfos:
        """The newest jobs of a queue, a status, a task, or of all: a list of at most `limit`, newest first.

        Finished ones stand by when they ended, the others by when they were added. The list's `cursor`, given to the
        next call, brings those that follow; it is None at the end. A job that moves meanwhile may be shown twice, or
        not.

        Raises:
            InvalidOptions: a status or a cursor that does not exist, a limit below 1.
        """
        whole(1)("limit", limit)
        found, following = self._client.listed(Filter.of(queue, status, name), limit, cursor)
        infos = JobInfos(infos_of(self._client.store, found))
        infos.cursor = following
        return infos

    def get_sorted_jobs(self, max_jobs_per_status: int | None = None) -> list[QueueInfo]:
        """All queues, by name: how many jobs they have by status, and the newest of each status.

        `max_jobs_per_status`: so many of each at most; if left out, what the option of that name says, at most 200.

        Raises:
            InvalidOptions: what is no whole number of at least 0.
        """
        most = min(NEWEST, max(self.options.max_jobs_per_status.values()))
        if max_jobs_per_status is not None:
            most = whole(0)("max_jobs_per_status", max_jobs_per_status)
        return queue_infos_of(self._client.store, self._client.newest(most))

    # -- pausing

    def pause_queue(self, queue: str) -> bool:
        """A paused queue starts nothing; what runs ends, what comes waits. Whether that changed anything."""
        return self._client.store.pause_queue(check_name("queue", queue))

    def resume_queue(self, queue: str) -> bool:
        """A paused queue goes on. Whether that changed anything."""
        return self._client.store.resume_queue(check_name("queue", queue))

    def pause_job_by_id(self, id: str) -> bool:
        """A waiting or delayed job does not start until it is resumed. Whether that changed anything: a job that is
        paused already, is being processed or has finished stays as it is."""
        return self._client.acting.pause(check_sought(id))

    def resume_job_by_id(self, id: str) -> bool:
        """A paused job waits again, last in line, or is delayed again until its old time. Whether that changed
        anything."""
        return self._client.acting.resume(check_sought(id))

    def toggle_pause_job_by_id(self, id: str) -> bool:
        """Resumes a paused job, pauses another one. Whether it is paused now."""
        return self._client.acting.toggle(check_sought(id))

    # -- trying again

    def retry_job_by_id(self, id: str) -> bool:
        """A finished job waits again under its id, with fresh tries; handles follow this run. Whether it does.

        An unfinished job is left alone, and so is one that history does not keep any more, or whose large payload
        was let go when it completed.
        """
        try:
            return self._client.acting.retry(check_sought(id))
        finally:
            self._client.reruns += 1

    def retry_jobs(self, queue: str | None = None, status: str = "failed", name: str | None = None) -> int:
        """`retry_job_by_id` for all finished jobs of a status, the oldest first; how many.

        Raises:
            InvalidOptions: a status that is none of completed, failed, cancelled.
        """
        wanted = Filter.of(queue, status, name)
        if wanted.status not in FINISHED:
            raise InvalidOptions(f"status={status!r}: only finished jobs can be tried again: {', '.join(FINISHED)}")
        try:
            return self._client.acting.retry_all(wanted)
        finally:
            self._client.reruns += 1

    # -- cancelling and deleting

    def cancel_job_by_id(self, id: str) -> bool:
        """Whether the job will be cancelled: one that has not started never does, one that runs is ended. Who waits for
        it gets `JobCancelled`. A finished job stays as it is. Of a schedule: it makes no more jobs."""
        return self._client.acting.cancel(check_sought(id))

    def cancel_jobs(self, queue: str | None = None, status: str | None = None, name: str | None = None) -> int:
        """`cancel_job_by_id` for all such jobs that have not finished; how many.

        Raises:
            InvalidOptions: no condition at all, or a status of finished jobs.
        """
        wanted = _some("cancel_jobs", Filter.of(queue, status, name))
        if wanted.status in FINISHED:
            raise InvalidOptions(f"status={status!r}: finished jobs can't be cancelled; delete_jobs deletes them")
        return self._client.acting.cancel_all(wanted)

    def delete_job_by_id(self, id: str) -> bool:
        """Whether there was such a job. Nobody knows it afterwards; one that runs is cancelled first, and who waits for
        it gets `JobCancelled`."""
        return self._client.acting.delete(check_sought(id))

    def delete_jobs(self, queue: str | None = None, status: str | None = None, name: str | None = None) -> int:
        """`delete_job_by_id` for all jobs of a queue, a status, a task; how many.

        Raises:
            InvalidOptions: no condition at all, or a status that does not exist.
        """
        return self._client.acting.delete_all(_some("delete_jobs", Filter.of(queue, status, name)))

    def delete_all_jobs_by_queue(self, queue: str) -> int:
        """`delete_jobs` for a queue. Its name, and whether it is paused, stay."""
        return self._client.acting.delete_all(Filter.of(check_name("queue", queue), None, None))

    def delete_all_jobs_by_status(self, status: str) -> int:
        """`delete_jobs` for a status."""
        return self._client.acting.delete_all(Filter.of(None, status_of(status), None))

    def delete_all_jobs(self) -> int:
        """Deletes all jobs of the namespace, and the schedules that were added with `enqueue`; how many.

        Schedules that tasks declare stay, and so do the names of queues, whether they are paused, and what is counted
        since they exist. An outcome whose job history does not keep any more stays until its time is over.
        """
        return self._client.acting.delete_everything()

    aget_job_by_id = twin(get_job_by_id)
    aget_queues_list = twin(get_queues_list)
    aget_jobs_list = twin(get_jobs_list)
    aget_jobs = twin(get_jobs)
    aget_sorted_jobs = twin(get_sorted_jobs)
    apause_queue = twin(pause_queue)
    aresume_queue = twin(resume_queue)
    apause_job_by_id = twin(pause_job_by_id)
    aresume_job_by_id = twin(resume_job_by_id)
    atoggle_pause_job_by_id = twin(toggle_pause_job_by_id)
    aretry_job_by_id = twin(retry_job_by_id)
    aretry_jobs = twin(retry_jobs)
    acancel_job_by_id = twin(cancel_job_by_id)
    acancel_jobs = twin(cancel_jobs)
    adelete_job_by_id = twin(delete_job_by_id)
    adelete_jobs = twin(delete_jobs)
    adelete_all_jobs_by_queue = twin(delete_all_jobs_by_queue)
    adelete_all_jobs_by_status = twin(delete_all_jobs_by_status)
    adelete_all_jobs = twin(delete_all_jobs)


def _some(what: str, wanted: Filter) -> Filter:
    """Refuses a filter that lets everything pass, which is rarely meant."""
    if wanted == Filter():
        raise InvalidOptions(f"{what} without queue, status or name would mean every job; give one of them")
    return wanted
