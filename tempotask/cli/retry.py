"""The command `tempotask retry`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from tempotask.cli.acting import check_choice, each, print_number
from tempotask.cli.command import everywhere, managed, which


@click.command()
@click.argument("ids", nargs=-1, metavar="ID...")
@which
@everywhere
def retry(db: str | None, namespace: str, as_json: bool, ids: Sequence[str], **given: Any) -> None:
    """Has finished jobs wait again: those named, or all that fit.

    Without --status, all that fit are those that failed.
    """
    check_choice("retry", ids, given)
    with managed(db, namespace) as manager:
        if ids:
            each(manager, ids, manager.retry_job_by_id, "retried", "waiting again", as_json)
        else:
            wanted = {name: value for name, value in given.items() if value is not None}
            print_number(manager.retry_jobs(**wanted), "retried", as_json)
