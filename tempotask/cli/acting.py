"""What the commands that act on queues and jobs share: pause, resume, retry, cancel, delete."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from tempotask.cli import output
from tempotask.cli.command import F, end, options, say

if TYPE_CHECKING:
    from tempotask.manager import QueueManager

Given = dict[str, str | None]
"""The options that say which jobs are meant, by name."""


class QueuesOrJobs(click.Command):
    """`pause` and `resume`: takes queues, or after `--job` the ids of jobs, and refuses both at once."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        first = next((place for place, word in enumerate(args) if word.partition("=")[0] == "--job"), 0)
        # Which of the words before it are no values of other options, only click can tell.
        before, _, _ = self.make_parser(ctx).parse_args(args[:first])
        names = before.get("names")
        if isinstance(names, tuple) and names:
            raise click.UsageError("give queues, or the ids of jobs after --job, not both", ctx)
        return super().parse_args(ctx, args)


def queues_or_jobs(command: F) -> F:
    """The arguments of `pause` and `resume`."""
    return options(
        click.argument("names", nargs=-1, metavar="QUEUE... | --job ID..."),
        click.option(
            *("--job", "jobs"), multiple=True, metavar="ID...", callback=_ids, help="Single jobs instead of queues."
        ),
    )(command)


def _ids(context: click.Context, option: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    """The values of `--job`; an option that stands behind it is taken for no id."""
    for id in given:
        if id.startswith("--"):
            raise click.UsageError("--job requires an argument: the id of a job, directly behind it", context)
    return given


def check_named(command: str, names: Sequence[str], jobs: Sequence[str]) -> None:
    """Ends the command unless something was named."""
    if not names and not jobs:
        end(2, f"{command}: say what: `tempotask {command} QUEUE...` or `tempotask {command} --job ID...`")


def each_queue(
    manager: QueueManager[Any], names: Sequence[str], change: Callable[[str], bool], paused: bool, as_json: bool
) -> None:
    """Pauses or resumes queues one by one."""
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
            state, before = ("paused", "paused") if paused else ("resumed", "not paused")
            output.print_line(f"queue {name} is {state}" if changed else f"queue {name} was {before} before")
        if name not in known:
            say(f"queue {name} has had no jobs so far; `tempotask queues` lists those that have")


def check_choice(command: str, ids: Sequence[str], given: Given, everything: bool = False) -> None:
    """Ends the command unless it was said which jobs are meant, in one way."""
    some = any(given.values())
    if bool(ids) + some + everything == 1:
        return
    choice = "the ids of jobs, or --queue, --status or --name" + (", or --all" if command == "delete" else "")
    end(2, f"{command}: {'give one of these, not several' if ids or some else 'say which jobs'}: {choice}")


def each(
    manager: QueueManager[Any], ids: Sequence[str], act: Callable[[str], bool], key: str, done: str, as_json: bool
) -> None:
    """Acts on jobs one by one; ends with 1 when the answer for one of them was no."""
    from tempotask.names import check_sought

    for id in ids:
        check_sought(id)
    refused = False
    for id in ids:
        before = manager.get_job_by_id(id)
        answer = act(id)
        if as_json and key == "paused":
            # As of a queue: whether it is paused now, and whether that is new.
            output.print_json({"id": id, key: answer or (before is not None and before.paused), "changed": answer})
        elif as_json:
            output.print_json({"id": id, key: answer})
        elif answer:
            output.print_line(f"job {id} is {done}")
        if not answer:
            refused = True
            say(f"job {id} was not {key}: {_why_not(manager, before, key)}")
    if refused:
        raise click.exceptions.Exit(1)


def _why_not(manager: QueueManager[Any], info: Any, key: str) -> str:
    from tempotask.store import schedules

    if info is None:
        return "nobody knows it; `tempotask jobs` lists the newest"
    if info.status == "delayed" and (planned := schedules.get(manager._client.store, info.id)) is not None:
        if planned.added:
            return "it is a schedule; cancel it"
        return "it is a schedule, declared by a task: take `repeat` out of its code, or pause its queue"
    if key in ("paused", "resumed") and info.paused == (key == "paused"):
        return "it is paused already" if info.paused else "it is not paused"
    if key == "retried" and info.status in ("completed", "failed", "cancelled"):
        return "history does not keep it any more, or its payload was let go"
    return f"it is {info.status}"


def print_number(number: int, key: str, as_json: bool) -> None:
    """Prints how many jobs were acted on."""
    if as_json:
        output.print_json({key: number})
    else:
        output.print_line(f"{number} {'job' if number == 1 else 'jobs'} {key}")
