"""The command `tempotask jobs`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tempotask.cli import output
from tempotask.cli.command import everywhere, opened, say, say_if_empty, which

if TYPE_CHECKING:
    from tempotask.store import shown


@click.command()
@everywhere
@which
@click.option(
    "--limit", type=click.IntRange(min=1), default=50, show_default=True, metavar="N", help="At most so many."
)
@click.option("--cursor", metavar="C", help="Go on where an earlier list ended, which said how.")
def jobs(
    db: str | None,
    namespace: str,
    as_json: bool,
    queue: str | None,
    status: str | None,
    name: str | None,
    limit: int,
    cursor: str | None,
) -> None:
    """Lists jobs, the newest first."""
    from tempotask.store import lists, shown

    with opened(db, namespace) as store:
        listed, following = lists.jobs(store, queue, status, name, limit, cursor)
        rows = [shown.row(found) for found in listed]
    if as_json:
        for row in rows:
            output.print_json(row)
    else:
        _print_jobs(rows)
        say_if_empty(rows, "such jobs" if queue or status or name or cursor else "jobs", store)
    if following is not None:
        say(f"there are more: --cursor {following}")


def _print_jobs(rows: list[shown.JobRow]) -> None:
    columns = ("id", "name", "queue", "status", "tries", "at", "wait", "run", "worker", "error or result")
    output.print_table(
        columns,
        [
            (
                *(row.id, row.name, row.queue, f"{row.status}, paused" if row.paused else row.status, row.tries),
                output.moment(row.finished_at or row.enqueued_at),
                *(output.brief(row.wait_seconds), output.brief(row.run_seconds), row.worker),
                row.result if row.error is None else row.error,
            )
            for row in rows
        ],
        numbers=("tries", "wait", "run"),
        spare=("worker", "wait", "tries", "at", "run"),
    )
