"""What the commands that add jobs share: enqueue, publish."""

from __future__ import annotations

import errno
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from tempotask.cli import output
from tempotask.cli.command import F, end, options, say

if TYPE_CHECKING:
    from tempotask.options import JobOptions

NAMED = 20
"""Ids at most that a line on the error stream names."""


def job_options(command: F) -> F:
    """The options of a job, by the names that `JobOptions` has for them; but `repeat`, which makes no job."""
    seconds: dict[str, Any] = {"type": float, "metavar": "S"}
    return options(
        click.option("--data", metavar="JSON", help="The payload; @FILE reads a file, @- the standard input."),
        click.option("--id", help="Its id; one that has not finished is not added again."),
        click.option("--priority", type=int, metavar="N", help="Higher first; 0 if left out."),
        click.option("--delay", help="Not before so many seconds from now.", **seconds),
        click.option("--delay-until", metavar="TIME", help="Not before, as in 2030-01-31T12:00:00+01:00."),
        click.option("--attempts", type=int, metavar="N", help="Tries in all."),
        click.option("--retry-delay", help="Seconds between two tries.", **seconds),
        click.option("--backoff", metavar="KIND", help="fixed or exponential."),
        click.option("--max-retry-delay", help="At most so many seconds between two tries.", **seconds),
        click.option("--timeout", help="Seconds that one try may take.", **seconds),
        click.option("--kill-after", help="Seconds after the time-out until its process is killed.", **seconds),
        click.option("--cancel-grace", help="Seconds after a cancel until its process is ended.", **seconds),
        click.option("--max-crashes", type=int, metavar="N", help="Crashes of its process until it fails."),
        click.option("--keep-result", help="Seconds that its outcome is kept.", **seconds),
    )(command)


def payload_of(given: str | None) -> Any:
    """What `--data` says, or the file that it names; ends the command if that is no JSON."""
    import msgspec

    if given is None:
        return None
    source, text = "--data", given.encode(errors="surrogateescape")
    if given.startswith("@"):
        source = "the standard input" if given == "@-" else given[1:]
        try:
            if given == "@-":
                if sys.stdin is None:
                    raise OSError(errno.EBADF, "it is closed")
                text = sys.stdin.buffer.read()
            else:
                with open(given[1:], "rb") as file:
                    text = file.read()
        except OSError as error:
            end(2, f"--data {given}: {error.strerror}; give @FILE, @- for the standard input, or JSON")
    try:
        return msgspec.json.decode(text)
    except (ValueError, RecursionError) as error:
        end(2, f'{source} is no JSON ({error}); give it as in --data \'{{"path": "a.png"}}\' or --data \'"text"\'')


def options_of(given: dict[str, Any]) -> JobOptions:
    """The job's options, of those that were typed; `InvalidOptions` if one makes no sense."""
    from datetime import datetime

    from tempotask.errors import InvalidOptions
    from tempotask.options import JobOptions

    named = {name: value for name, value in given.items() if value is not None}
    if "delay_until" in named:
        try:
            named["delay_until"] = datetime.fromisoformat(named["delay_until"])
        except ValueError:
            raise InvalidOptions(
                f"--delay-until {named['delay_until']!r}: give a time with its zone, as in 2030-01-31T12:00:00+01:00"
            ) from None
    return JobOptions(**named)


def print_added(handles: Sequence[Any], as_json: bool) -> None:
    """Prints the ids of what was added. Where that can't be done, says so: who adds it again would have it twice."""
    try:
        for handle in handles:
            _print_handle(handle, as_json)
        output.flush()
    except SystemExit as ending:
        if ending.code and (added := [handle.id for handle in handles if handle.created]):
            say(f"tempotask: added all the same: {' '.join(added[:NAMED])}{' …' if len(added) > NAMED else ''}")
        raise


def _print_handle(handle: Any, as_json: bool) -> None:
    if as_json:
        output.print_json({"id": handle.id, "queue": handle.queue, "name": handle.name, "created": handle.created})
        return
    output.print_line(handle.id)
    if not handle.created:
        say(f"job {handle.id} has not finished; nothing was added")
