"""The command `tempotask publish`."""

from __future__ import annotations

from typing import Any

import click

from tempotask.cli.adding import job_options, options_of, payload_of, print_added
from tempotask.cli.command import everywhere, managed


@click.command()
@click.argument("name")
@click.argument("queues", nargs=-1, required=True, metavar="QUEUE...")
@everywhere
@job_options
def publish(
    db: str | None, namespace: str, as_json: bool, name: str, queues: tuple[str, ...], data: str | None, **given: Any
) -> None:
    """Adds a copy of a job to each queue, and prints their ids."""
    payload, wanted = payload_of(data), options_of(given)
    with managed(db, namespace) as manager:
        print_added(manager.publish(name=name, queues=queues, data=payload, options=wanted), as_json)
