"""The command `tempotask check`: proves the invariants of a namespace, and mends what can be mended."""

from __future__ import annotations

import click

from tempotask.cli import output
from tempotask.cli.command import CHANGING, end, everywhere, opened


@click.command()
@everywhere
@click.option("--repair", "mend", is_flag=True, help="Mend what can be mended without guessing.")
def check(db: str | None, namespace: str, as_json: bool, mend: bool) -> None:
    """Proves that nothing is lost, doubled or miscounted."""
    from tempotask.store.check import check as violations_of
    from tempotask.store.repair import repair
    from tempotask.store.snapshot import names

    with opened(db, namespace, CHANGING) as store:
        if mend:
            for line in repair(store):
                output.print_json({"mended": line}) if as_json else output.print_line(f"mended: {line}")
        violations = violations_of(store)
        empty = next(names(store), None) is None
    for violation in violations:
        if as_json:
            output.print_json({"key": violation.key, "text": violation.text, "mendable": bool(violation.mend)})
        else:
            output.print_line(f"{violation.key} {violation.text}")
    where = f"namespace {namespace} at {store.server.label}"
    if violations:
        mendable = sum(bool(violation.mend) for violation in violations)
        hint = f"; --repair mends {mendable} of them" if mendable else ""
        number = "1 violation" if len(violations) == 1 else f"{len(violations)} violations"
        end(1, f"{where} has {number}{hint}")
    if as_json:
        output.print_json({"violations": 0, "namespace": namespace, "server": store.server.label})
    else:
        output.print_line(f"{where}: {'nothing is there' if empty else 'all is right'}")
