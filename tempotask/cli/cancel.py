"""The command `tempotask cancel`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from tempotask.cli.acting import check_choice, each, print_number
from tempotask.cli.command import end, everywhere, managed, which


@click.command()
@click.argument("ids", nargs=-1, metavar="ID...")
@which
@everywhere
def cancel(db: str | None, namespace: str, as_json: bool, ids: Sequence[str], **given: Any) -> None:
    """Cancels jobs: those named, or all that fit and have not finished."""
    from tempotask.store.records import FINISHED

    check_choice("cancel", ids, given)
    if given["status"] in FINISHED:
        end(2, "cancel: finished jobs can't be cancelled; `tempotask delete` deletes them")
    with managed(db, namespace) as manager:
        if ids:
            each(manager, ids, manager.cancel_job_by_id, "cancelled", "cancelled", as_json)
        else:
            print_number(manager.cancel_jobs(**given), "cancelled", as_json)
