"""Names that the interface promises and that are not built yet: asking for one says so."""

from __future__ import annotations

MANAGER = frozenset(
    {
        *("on", "cancel_job_by_id", "delete_job_by_id", "retry_job_by_id", "retry_jobs", "get_jobs", "get_sorted_jobs"),
        *("pause_queue", "resume_queue", "pause_job_by_id", "resume_job_by_id", "toggle_pause_job_by_id"),
        *("delete_jobs", "delete_all_jobs", "delete_all_jobs_by_queue", "delete_all_jobs_by_status"),
    }
)
HANDLE = frozenset({"cancel"})
PACKAGE = frozenset({"Repeat", "Backoff", "QueueInfo", "Event"})


def missing(owner: str, name: str, promised: frozenset[str]) -> AttributeError:
    """The error for an attribute that is not there."""
    if name in promised or name.removeprefix("a") in promised:
        return AttributeError(f"{name} is not built yet")
    return AttributeError(f"{owner} has no attribute {name!r}")
