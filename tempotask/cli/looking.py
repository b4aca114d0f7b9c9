"""The commands that look at a namespace and change nothing but what `check --repair` mends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tempotask.cli import output
from tempotask.cli.command import CHANGING, end, everywhere, opened, say, say_if_empty, which

if TYPE_CHECKING:
    from tempotask.store import look


@click.command()
@everywhere
def queues(db: str | None, namespace: str, as_json: bool) -> None:
    """Lists the queues."""
    from tempotask.store import lists

    with opened(db, namespace) as store:
        rows = lists.queues(store)
    if as_json:
        for row in rows:
            output.print_json(row)
        return
    numbers = lists.QueueRow.__struct_fields__[2:]
    names = [field.removesuffix("_seconds") for field in lists.QueueRow.__struct_fields__]
    output.print_table(names, [[getattr(row, field) for field in row.__struct_fields__] for row in rows], numbers)
    say_if_empty(rows, "queues", store)


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
    from tempotask.store import lists, look

    with opened(db, namespace) as store:
        listed, following = lists.jobs(store, queue, status, name, limit, cursor)
        rows = [look.row(found) for found in listed]
    if as_json:
        for row in rows:
            output.print_json(row)
    else:
        _print_jobs(rows)
        say_if_empty(rows, "such jobs" if queue or status or name or cursor else "jobs", store)
    if following is not None:
        say(f"there are more: --cursor {following}")


def _print_jobs(rows: list[look.JobRow]) -> None:
    columns = ("id", "name", "queue", "status", "tries", "at", "wait", "run", "worker", "error or result")
    output.print_table(
        columns,
        [
            (
                *(row.id, row.name, row.queue, f"{row.status}, paused" if row.paused else row.status, row.tries),
                output.moment(row.finished_at or row.enqueued_at),
                *(row.wait_seconds, row.run_seconds, row.worker),
                row.result if row.error is None else row.error,
            )
            for row in rows
        ],
        numbers=("tries", "wait", "run"),
    )


@click.command()
@everywhere
@click.argument("id")
def job(db: str | None, namespace: str, as_json: bool, id: str) -> None:
    """Shows one job."""
    from tempotask.cli.job import fields, report
    from tempotask.store import look

    with opened(db, namespace) as store:
        found = look.find(store, id)
        if found is None:
            where = f"namespace {namespace} at {store.server.label}"
            end(1, f"nobody knows a job {id!r} in {where}; `tempotask jobs` lists the newest")
        if as_json:
            output.print_json(report(store, found))
        else:
            output.print_fields(fields(store, found))


@click.command()
@everywhere
@click.option("--repair", "mend", is_flag=True, help="Mend what can be mended without guessing.")
def check(db: str | None, namespace: str, as_json: bool, mend: bool) -> None:
    """Proves that nothing is lost, doubled or miscounted."""
    from tempotask.store.check import check as violations_of
    from tempotask.store.repair import repair

    with opened(db, namespace, CHANGING) as store:
        if mend:
            for line in repair(store):
                output.print_json({"mended": line}) if as_json else output.print_line(f"mended: {line}")
        violations = violations_of(store)
    for violation in violations:
        if as_json:
            output.print_json({"key": violation.key, "text": violation.text, "mendable": bool(violation.mend)})
        else:
            output.print_line(f"{violation.key} {violation.text}")
    where = f"namespace {namespace} at {store.server.label}"
    if violations:
        mendable = sum(bool(violation.mend) for violation in violations)
        hint = f"; --repair mends {mendable} of them" if mendable else ""
        end(1, f"{where} has {len(violations)} violations{hint}")
    if as_json:
        output.print_json({"violations": 0, "namespace": namespace, "server": store.server.label})
    else:
        output.print_line(f"{where}: all is right")


@click.command()
@everywhere
def server(db: str | None, namespace: str, as_json: bool) -> None:
    """Shows the server, and who works there."""
    from tempotask.cli.server import fields, report

    with opened(db, namespace) as store:
        told = report(store)
    output.print_json(told) if as_json else output.print_fields(fields(told))
