"""Lost: why a job of which nothing is heard stays silent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tempotask.errors import InvalidOptions, JobNotFound, ResultExpired, TempoTaskError
from tempotask.store import look
from tempotask.store.records import FINISHED

if TYPE_CHECKING:
    from tempotask.store.store import Store
    from tempotask.store.wait import Ending


def ending_of(store: Store, client: str, id: str, known: bool) -> Ending | None:
    """How a silent job ended, or why nobody will ever know; None as long as it is to end.

    `client`: who waits for it; `known`: whether that process saw it being added.
    """
    found = look.find(store, id)
    if found is not None and found.schedule is not None:
        return InvalidOptions(f"{id} is a schedule, and has no result; ask for those of its jobs")
    if _is_to_end(found):
        return None
    (ending,) = store.ask(client, [id])
    if ending is not None:
        return ending
    # Once more: it may run anew by now.
    found = look.find(store, id)
    return None if _is_to_end(found) else reason(id, known, found)


def reason(id: str, known: bool, found: look.Found | None) -> TempoTaskError:
    """Why there is no outcome of a job that has ended, or is nowhere; `found`: what is left of it."""
    if found is None and not known:
        return JobNotFound.of(id)
    if found is not None:
        return ResultExpired(f"job {id} has ended, and its outcome is no longer kept; give it a longer keep_result")
    # Seen by this process when it was added, and nowhere now.
    why = "it was deleted, or its outcome is no longer kept (keep_result), or the server has lost its data"
    return ResultExpired(f"job {id} is not there any more: {why}")


def _is_to_end(found: look.Found | None) -> bool:
    return found is not None and found.status not in FINISHED
