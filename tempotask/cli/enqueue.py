"""The command `tempotask enqueue`."""

from __future__ import annotations

from typing import Any

import click

from tempotask.cli.adding import job_options, options_of, payload_of, print_added
from tempotask.cli.command import everywhere, managed


@click.command()
@click.argument("queue")
@click.argument("name")
@everywhere
@job_options
@click.option("--repeat", metavar="PATTERN", help='Again and again, as in "*/5 * * * *".')
def enqueue(
    db: str | None, namespace: str, as_json: bool, queue: str, name: str, data: str | None, **given: Any
) -> None:
    """Adds a job, and prints its id."""
    payload, wanted = payload_of(data), options_of(given)
    with managed(db, namespace) as manager:
        print_added([manager.enqueue(name=name, queue=queue, data=payload, options=wanted)], as_json)
