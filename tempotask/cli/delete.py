"""The command `tempotask delete`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

from tempotask.cli.acting import Given, check_choice, each, print_number
from tempotask.cli.command import end, everywhere, managed, which


@click.command()
@click.argument("ids", nargs=-1, metavar="ID...")
@which
@click.option("--all", "everything", is_flag=True, help="All jobs of the namespace.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@everywhere
def delete(
    db: str | None, namespace: str, as_json: bool, ids: Sequence[str], everything: bool, yes: bool, **given: Any
) -> None:
    """Deletes jobs: those named, all that fit, or all.

    Those that run are cancelled first. Asks before it deletes jobs that are not named.
    """
    check_choice("delete", ids, given, everything)
    with managed(db, namespace) as manager:
        if ids:
            each(manager, ids, manager.delete_job_by_id, "deleted", "deleted", as_json)
            return
        if not yes:
            _ask(_meant(given), namespace)
        number = manager.delete_all_jobs() if everything else manager.delete_jobs(**given)
        print_number(number, "deleted", as_json)


def _meant(given: Given) -> str:
    told = [f"{name} {value}" for name, value in given.items() if value is not None]
    return f"all jobs of {', '.join(told)}" if told else "all jobs"


def _ask(what: str, namespace: str) -> None:
    """Goes on only if somebody at a terminal says so."""
    if sys.stdin is None or not sys.stdin.isatty():
        end(2, f"delete: nobody can be asked here; add --yes to delete {what} in namespace {namespace}")
    if not click.confirm(f"Delete {what} in namespace {namespace}?", err=True):
        end(1, "nothing was deleted")
