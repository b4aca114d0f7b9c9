"""The command `python -m torture`: breaks everything on purpose, counts, and prints a table."""

from __future__ import annotations

import difflib
import math
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from torture.campaign import Campaign, Size
from torture.fault import Fault
from torture.faults import FAULTS
from torture.leftovers import adopt_orphans
from torture.replies import replies
from torture.table import Screen, report, write

QUICK = Size(jobs=500, backlog=400)
LONG = Size(jobs=5000, backlog=2000)


def faults_named(context: click.Context, option: click.Parameter, only: str | None) -> list[Fault]:
    """The faults that are meant."""
    if only is None:
        return FAULTS
    known = {fault.name: fault for fault in FAULTS}
    found = []
    for name in filter(None, map(str.strip, only.split(","))):
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else "see --list"
            raise click.BadParameter(f"there is no fault {name!r}; {hint}")
        found.append(known[name])
    return found


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What all ways to run have in common."""
    for option in (
        click.option("--json", "file", type=click.Path(dir_okay=False, path_type=Path), help="Write the report there."),
        click.option("--only", "faults", metavar="FAULT,…", callback=faults_named, help="Only these faults."),
        click.option("--seed", type=click.IntRange(0), help="Repeats a run: the same faults, the same choices."),
    ):
        command = option(command)
    return command


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--list", "listed", is_flag=True, help="Print the faults.")
@click.pass_context
def torture(context: click.Context, listed: bool) -> None:
    """Breaks everything that can break, and counts what is lost, settled twice or wrongly blamed."""
    if listed:
        for fault in FAULTS:
            how = f"{'mixed' if fault.mixed else 'alone'}{', quick' if fault.quick else ''}"
            click.echo(f"{fault.name:40} {fault.group:8} {how}")
    elif context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(2)


@torture.command()
@options
def quick(faults: list[Fault], seed: int | None, file: Path | None) -> None:
    """The fast and important faults, each once; with --only those, whatever they are."""
    if faults is FAULTS:
        faults = [fault for fault in FAULTS if fault.quick]
    run_campaign(faults, seed, file, QUICK, lambda campaign: campaign.once())


@torture.command()
@click.option("--minutes", type=click.FloatRange(0, min_open=True), required=True, help="For so long.")
@options
def run(minutes: float, faults: list[Fault], seed: int | None, file: Path | None) -> None:
    """All faults, alone and mixed, at random, for a while."""
    until = time.monotonic() + minutes * 60
    run_campaign(faults, seed, file, LONG, lambda campaign: campaign.go_on(until))


@torture.command("until-stopped")
@options
def until_stopped(faults: list[Fault], seed: int | None, file: Path | None) -> None:
    """The same until Ctrl-C."""
    run_campaign(faults, seed, file, LONG, lambda campaign: campaign.go_on(math.inf))


def run_campaign(
    faults: list[Fault], seed: int | None, file: Path | None, size: Size, go: Callable[[Campaign], None]
) -> None:
    """Exit status 1 on any violation, and when a fault could not be injected."""
    seed = random.SystemRandom().randrange(1 << 31) if seed is None else seed
    # A stop from outside takes the same way as Ctrl-C, which a shell may have had ignored.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    adopt_orphans()
    began = time.monotonic()
    click.echo(f"seed {seed}")
    with Screen(seed) as screen:
        campaign = Campaign(faults, seed, size, screen.show)
        try:
            go(campaign)
        except KeyboardInterrupt:
            click.echo("stopped; what was under way is not judged", err=True)
        finally:
            campaign.end()
        screen.end(campaign.tally)
    if file is not None:
        write(file, report(campaign.tally, seed, time.monotonic() - began))
    sys.exit(0 if campaign.tally.holds else 1)


torture.add_command(replies)

if __name__ == "__main__":
    torture(prog_name="torture")
