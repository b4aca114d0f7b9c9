"""The command `tempotask job`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tempotask.cli import output
from tempotask.cli.command import everywhere, found, opened

if TYPE_CHECKING:
    from tempotask.store.look import Found
    from tempotask.store.store import Store


@click.command()
@everywhere
@click.argument("id")
def job(db: str | None, namespace: str, as_json: bool, id: str) -> None:
    """Shows one job."""
    with opened(db, namespace) as store:
        job = found(store, id)
        if as_json:
            output.print_json(_report(store, job))
        else:
            output.print_fields(_fields(store, job))


def _report(store: Store, job: Found) -> dict[str, Any]:
    """All that is known of a job, times as Unix seconds."""
    import msgspec

    from tempotask.store import shown

    told = msgspec.structs.asdict(shown.row(job))
    (details,) = shown.details(store, [job])
    told["due_at"] = job.due
    told["data"] = details.data
    told["logs"] = [{"at": at, "message": message} for at, message in details.lines]
    told["progress"] = None
    if details.progress is not None:
        told["progress"] = dict(zip(("done", "total", "note"), details.progress, strict=True))
    told["errors"] = [{name: getattr(error, name) for name in error.__struct_fields__} for error in shown.errors(job)]
    told["children"] = details.children
    if job.record is None and job.outcome is not None and job.outcome.failure is not None:
        # All that is left of its errors.
        told["traceback"] = job.outcome.failure.traceback
    return told


def _fields(store: Store, job: Found) -> dict[str, Any]:
    """The same for people: only what there is."""
    told = _report(store, job)
    logs, errors, progress = told.pop("logs"), told.pop("errors"), told.pop("progress")
    for name in ("enqueued_at", "due_at", "started_at", "finished_at"):
        told[name] = output.moment(told[name])
    for name in ("wait_seconds", "run_seconds", "cpu_seconds"):
        told[name] = output.brief(told[name])
    told["children"] = " ".join(told["children"])
    if progress is not None:
        told["progress"] = output.progress(**progress)
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
