"""The command `python -m torture`: breaks everything on purpose, counts, and prints a table."""

from __future__ import annotations

import difflib
import math
import os
import random
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
from torture.stopping import STOPPED, allow
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
    if not found:
        raise click.BadParameter("name a fault; see --list")
    return found


def finite(context: click.Context, option: click.Parameter, minutes: float) -> float:
    if not math.isfinite(minutes):
        raise click.BadParameter("say how many; for ever is: until-stopped")
    return minutes


def writable(context: click.Context, option: click.Parameter, file: Path | None) -> Path | None:
    """The report's file, by the folder in which the user is; refused now, not when the run is over."""
    if file is None:
        return None
    file = Path(os.environ.get("TORTURE_FROM", ""), file)
    try:
        file.open("a").close()
    except OSError as error:
        raise click.BadParameter(f"can't write there: {error}") from None
    return file


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What all ways to run have in common."""
    for option in (
        click.option(
            "--json", "file", type=click.Path(path_type=Path), callback=writable, help="Write the report there."
        ),
        click.option("--only", "faults", metavar="FAULT,…", callback=faults_named, help="Only these faults."),
        click.option("--seed", type=click.IntRange(0), help="Repeats faults and choices, not how the load meets them."),
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
@click.option("--minutes", type=click.FloatRange(0, min_open=True), required=True, callback=finite, help="For so long.")
@options
def run(minutes: float, faults: list[Fault], seed: int | None, file: Path | None) -> None:
    """All faults, alone and mixed, at random, for a while."""
    until = time.monotonic() + minutes * 60
    run_campaign(faults, seed, file, LONG, lambda campaign: campaign.go_on(until))


@torture.command("until-stopped")
@options
def until_stopped(faults: list[Fault], seed: int | None, file: Path | None) -> None:
    """The same until Ctrl-C."""
    run_campaign(faults, seed, file, LONG, lambda campaign: campaign.go_on(math.inf), stop=0)


def run_campaign(
    faults: list[Fault],
    seed: int | None,
    file: Path | None,
    size: Size,
    go: Callable[[Campaign], None],
    stop: int = STOPPED,
) -> None:
    """Exit status 1 on any violation, and when a fault could not be injected; else `stop` if it was stopped."""
    seed = random.SystemRandom().randrange(1 << 31) if seed is None else seed
    allow()
    adopt_orphans()
    began, status = time.monotonic(), 0
    click.echo(f"seed {seed}")
    with Screen(seed) as screen:
        campaign = Campaign(faults, seed, size, screen.show)
        try:
            go(campaign)
        except KeyboardInterrupt:
            click.echo("stopped; what was under way is not judged", err=True)
            status = stop
        finally:
            campaign.end()
        screen.end(campaign.tally)
    if file is not None:
        write(file, report(campaign.tally, seed, time.monotonic() - began))
    sys.exit(status if campaign.tally.holds else 1)


torture.add_command(replies)

if __name__ == "__main__":
    torture(prog_name="scripts/torture")
