"""One job, as `tempotask job` shows it."""

from __future__ import annotations

from typing import Any

import msgspec

from tempotask.cli import output
from tempotask.store import look
from tempotask.store.look import Found
from tempotask.store.store import Store


def report(store: Store, found: Found) -> dict[str, Any]:
    """All that is known of a job, times as Unix seconds."""
    told = msgspec.structs.asdict(look.row(found))
    record = found.record
    told["due_at"] = found.due
    (details,) = look.details(store, [found])
    told["started_at"] = told["started_at"] or details.started
    told["data"] = details.data
    told["progress"] = dict(zip(("done", "total", "note"), details.progress, strict=True)) if details.progress else None
    told["logs"] = [{"at": at, "message": message} for at, message in details.lines]
    told["errors"] = [
        {name: getattr(error, name) for name in error.__struct_fields__} for error in (record and record.errors) or ()
    ]
    if (failure := _failure(found)) is not None:
        told["traceback"] = failure.traceback
    return told


def fields(store: Store, found: Found) -> dict[str, Any]:
    """The same for people: only what there is."""
    told = report(store, found)
    logs, errors = told.pop("logs"), told.pop("errors")
    for name in ("enqueued_at", "due_at", "started_at", "finished_at"):
        told[name] = output.moment(told[name])
    if progress := told["progress"]:
        done, total, note = (output.text(part) for part in progress.values())
        told["progress"] = f"{done} of {total} {note}" if total else f"{done} {note}"
    shown = {name: value for name, value in told.items() if value is not None and value != ""}
    if not shown["paused"]:
        del shown["paused"]
    for error in errors:
        shown[f"try {error['attempt']}"] = f"{error['type']}: {error['message']}\n{error['traceback']}"
    if logs:
        lines = (f"{output.moment(line['at'])}  {output.text(line['message'])}" for line in logs)
        # One line too is put under its name.
        shown["logs"] = "\n".join(["", *lines, ""]) if len(logs) > 1 else next(lines)
    return shown


def _failure(found: Found) -> Any:
    if found.finished is not None:
        return found.finished.failure
    return found.outcome.failure if found.outcome is not None else None
