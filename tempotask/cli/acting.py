"""The commands that act on queues and jobs: pause, resume, retry, cancel, delete."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from tempotask.cli import output
from tempotask.cli.command import F, end, everywhere, managed, options, say, which

if TYPE_CHECKING:
    from tempotask.manager import QueueManager

Given = dict[str, str | None]
"""The options that say which jobs are meant, by name."""


# -- pausing


def queues_or_jobs(command: F) -> F:
    """The arguments of `pause` and `resume`."""
    return options(
        click.argument("names", nargs=-1, required=True, metavar="QUEUE... | --job ID..."),
        click.option("--job", "jobs", is_flag=True, help="Single jobs, by their ids, instead of queues."),
    )(command)


@click.command()
@queues_or_jobs
@everywhere
def pause(db: str | None, namespace: str, as_json: bool, names: Sequence[str], jobs: bool) -> None:
    """Has queues start nothing, or single jobs not start."""
    with managed(db, namespace) as manager:
        if jobs:
            _each(manager, names, manager.pause_job_by_id, "paused", "paused", as_json)
        else:
            _each_queue(manager, names, manager.pause_queue, True, as_json)


@click.command()
@queues_or_jobs
@everywhere
def resume(db: str | None, namespace: str, as_json: bool, names: Sequence[str], jobs: bool) -> None:
    """Has paused queues or jobs go on."""
    with managed(db, namespace) as manager:
        if jobs:
            _each(manager, names, manager.resume_job_by_id, "resumed", "resumed", as_json)
        else:
            _each_queue(manager, names, manager.resume_queue, False, as_json)


def _each_queue(
    manager: QueueManager[Any], names: Sequence[str], change: Callable[[str], bool], paused: bool, as_json: bool
) -> None:
    from tempotask.names import check_name

    # Nothing is done before all of them are spelt right.
    for name in names:
        check_name("queue", name)
    known = manager.get_queues_list()
    for name in names:
        changed = change(name)
        if as_json:
            output.print_json({"queue": name, "paused": paused, "changed": changed})
        else:
            state = "paused" if paused else "resumed"
            output.print_line(f"queue {name} is {state}" if changed else f"queue {name} was {state} before")
        if name not in known:
            say(f"queue {name} has had no jobs so far; `tempotask queues` lists those that have")


# -- acting on jobs


@click.command()
@click.argument("ids", nargs=-1, metavar="ID...")
@which
@everywhere
def retry(db: str | None, namespace: str, as_json: bool, ids: Sequence[str], **given: Any) -> None:
    """Has finished jobs wait again: those named, or all that fit.

    Without --status, all that fit are those that failed.
    """
    _check_choice("retry", ids, given)
    with managed(db, namespace) as manager:
        if ids:
            _each(manager, ids, manager.retry_job_by_id, "retried", "waiting again", as_json)
        else:
            wanted = {name: value for name, value in given.items() if value is not None}
            _print_number(manager.retry_jobs(**wanted), "retried", as_json)


@click.command()
@click.argument("ids", nargs=-1, metavar="ID...")
@which
@everywhere
def cancel(db: str | None, namespace: str, as_json: bool, ids: Sequence[str], **given: Any) -> None:
    """Cancels jobs: those named, or all that fit and have not finished."""
    _check_choice("cancel", ids, given)
    with managed(db, namespace) as manager:
        if ids:
            _each(manager, ids, manager.cancel_job_by_id, "cancelled", "cancelled", as_json)
        else:
            _print_number(manager.cancel_jobs(**given), "cancelled", as_json)


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
    _check_choice("delete", ids, given, everything)
    with managed(db, namespace) as manager:
        if ids:
            _each(manager, ids, manager.delete_job_by_id, "deleted", "deleted", as_json)
            return
        if not yes:
            _ask(_meant(given), namespace)
        number = manager.delete_all_jobs() if everything else manager.delete_jobs(**given)
        _print_number(number, "deleted", as_json)


def _check_choice(command: str, ids: Sequence[str], given: Given, everything: bool = False) -> None:
    some = any(given.values())
    if bool(ids) + some + everything == 1:
        return
    choice = "the ids of jobs, or --queue, --status or --name" + (", or --all" if command == "delete" else "")
    end(2, f"{command}: {'give one of these, not several' if ids or some else 'say which jobs'}: {choice}")


def _meant(given: Given) -> str:
    told = [f"{name} {value}" for name, value in given.items() if value is not None]
    return f"all jobs of {', '.join(told)}" if told else "all jobs"


def _ask(what: str, namespace: str) -> None:
    """Goes on only if somebody at a terminal says so."""
    if not sys.stdin.isatty():
        end(2, f"delete: nobody can be asked here; add --yes to delete {what} in namespace {namespace}")
    if not click.confirm(f"Delete {what} in namespace {namespace}?", err=True):
        end(1, "nothing was deleted")


def _each(
    manager: QueueManager[Any], ids: Sequence[str], act: Callable[[str], bool], key: str, done: str, as_json: bool
) -> None:
    """Acts on jobs one by one; ends with 1 when the answer for one of them was no."""
    refused = False
    for id in ids:
        before = manager.get_job_by_id(id)
        answer = act(id)
        if as_json:
            output.print_json({"id": id, key: answer})
        elif answer:
            output.print_line(f"job {id} is {done}")
        if not answer:
            refused = True
            say(f"job {id} was not {key}: {_why_not(before, key)}")
    if refused:
        raise click.exceptions.Exit(1)


def _why_not(info: Any, key: str) -> str:
    if info is None:
        return "nobody knows it; `tempotask jobs` lists the newest"
    if key in ("paused", "resumed") and info.paused == (key == "paused"):
        return "it is paused already" if info.paused else "it is not paused"
    if key == "retried" and info.status in ("completed", "failed", "cancelled"):
        return "history does not keep it any more, or its payload was let go"
    return f"it is {info.status}"


def _print_number(number: int, key: str, as_json: bool) -> None:
    if as_json:
        output.print_json({key: number})
    else:
        output.print_line(f"{number} {'job' if number == 1 else 'jobs'} {key}")
