"""The command `tempotask queues`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tempotask.cli import output
from tempotask.cli.command import everywhere, opened, say_if_empty, say_if_nobody_works

if TYPE_CHECKING:
    from tempotask.store.lists import QueueRow


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
        output.print_table(names, [_cells(row) for row in rows], numbers)
        say_if_empty(rows, "queues", store)
        if any(row.waiting for row in rows):
            say_if_nobody_works(store)


def _cells(row: QueueRow) -> list[Any]:
    import msgspec

    told = msgspec.structs.asdict(row)
    return [*(told | {"oldest_seconds": output.brief(row.oldest_seconds)}).values()]
