"""Replies lost after their script ran, thousands of times: is a job made twice, or lost, or an answer wrong?

One script after the other. While it is called by all who call it anywhere, half of the replies get lost, at
random, and the connection breaks. What came of it is counted by the ledger, which no code of the queue has a hand in.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import click
from pool.running import LONG
from rich.console import Console
from rich.table import Table

from tempotask.store.script import SCRIPTS
from torture.calls import CALLS, Book
from torture.fault import Setting
from torture.ledger import Entry
from torture.leftovers import Census, adopt_orphans, end_all
from torture.stopping import STOPPED, allow
from torture.world import World

SETTING = Setting(supervisors=2, workers=2, application="torture.chatty:tempotask", load=False)
WITHIN = 300.0
"""Seconds in which the replies of one script must have been lost."""


@dataclass
class Toll:
    """What the losses of one script's replies did."""

    script: str
    losses: int = 0
    jobs: int = 0
    twice: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def right(self) -> bool:
        return not (self.twice or self.lost or self.wrong)


def scripts_named(context: click.Context, option: click.Parameter, only: str | None) -> list[str]:
    """The scripts that are meant."""
    names = [name.strip() for name in (only or "").split(",") if name.strip()]
    if unknown := set(names) - SCRIPTS.keys():
        raise click.BadParameter(f"there are no scripts {', '.join(sorted(unknown))}; there are {', '.join(SCRIPTS)}")
    if only is not None and not names:
        raise click.BadParameter(f"name a script; there are {', '.join(SCRIPTS)}")
    return names or list(SCRIPTS)


@click.command()
@click.option("--number", type=click.IntRange(1), default=10_000, show_default=True, help="So many replies in all.")
@click.option("--only", "scripts", metavar="SCRIPT,…", callback=scripts_named, help="Only those of these scripts.")
@click.option("--seed", type=int, default=0, help="Repeats a run's choices.")
def replies(number: int, scripts: list[str], seed: int) -> None:
    """Loses the replies of each script after it ran, thousands of times, and counts what came of it."""
    allow()
    adopt_orphans()
    before = Census.take()
    try:
        found = run(number, scripts, seed)
    except KeyboardInterrupt:
        click.echo("stopped; what was under way is not judged", err=True)
        sys.exit(STOPPED)
    finally:
        end_all(before)
    sys.exit(0 if all(each.right for each in found) else 1)


def run(number: int, scripts: Sequence[str], seed: int) -> list[Toll]:
    """Loses `number` replies of these scripts in all; prints what came of it."""
    console = Console()
    found: list[Toll] = []
    with contextlib.closing(World(SETTING, seed)) as world:
        world.start()
        for place, script in enumerate(scripts):
            left = number - sum(each.losses for each in found)
            times = -(-left // (len(scripts) - place))
            found.append(_lose(world, script, times))
            _tell(console, found[-1])
    console.print(_table(found))
    return found


def _lose(world: World, script: str, times: int) -> Toll:
    """Loses so many replies of a script, lets everything end, and counts."""
    began = time.monotonic()
    found, book = Toll(script), Book(world)
    loss = world.proxy.drop_reply(script, times, chance=0.5)
    try:
        while not loss.done.is_set():
            CALLS[script](book)
            if time.monotonic() - began > WITHIN:
                found.wrong.append(f"only {loss.lost} of {times} replies got lost in {WITHIN:.0f} s")
                break
    except Exception as error:
        found.wrong.append(f"{type(error).__name__}: {error}")
    world.proxy.keep(loss)
    found.losses = loss.lost
    _judge(world, book, found)
    book.close()
    found.wrong += book.wrong
    found.seconds = time.monotonic() - began
    return found


def _judge(world: World, book: Book, found: Toll) -> None:
    _wait_for_end(world, book)
    entries = [entry for entry in world.ledger.entries() if entry.what == "end"]
    found.jobs = len({entry.job for entry in entries})
    wanted = Counter(book.ends)
    for id, fired in book.schedules.items():
        firings = {entry.job for entry in entries if _schedule_of(entry) == id}
        wanted.update(firings)
        if len(firings) != fired:
            (found.lost if len(firings) < fired else found.twice).append(f"{id} fired {len(firings)} times of {fired}")
    ended = Counter(entry.job for entry in entries if entry.name != "child")
    parents = {entry.job for entry in entries if entry.name == "short"}
    children = Counter(entry.of for entry in entries if entry.name == "child")
    for id in ended.keys() | wanted.keys():
        owed = {"job": wanted[id], "child of": wanted[id] if id in parents else 0}
        for what, number in (("job", ended[id]), ("child of", children[id])):
            if number != owed[what]:
                told = f"{what} {id} ended {number} times of {owed[what]}"
                (found.lost if number < owed[what] else found.twice).append(told)
    checked = subprocess.run(
        [sys.executable, "-m", "tempotask.cli", "check", "--db", world.server.url, "--namespace", world.namespace],
        capture_output=True,
        text=True,
    )
    if checked.returncode:
        found.wrong.append(f"check: {checked.stdout}{checked.stderr}")
    world.ledger.forget()


def _schedule_of(entry: Entry) -> str:
    return re.sub(r"@[0-9.]+$", "", entry.job)


def _wait_for_end(world: World, book: Book) -> None:
    """Until all is done; what is lost never is, so not for ever."""
    end = time.monotonic() + LONG
    while time.monotonic() < end:
        if world.store.quiet(delayed=True):
            owed = sum(book.ends.values())
            ended = sum(entry.what == "end" and entry.name != "child" for entry in world.ledger.entries())
            if ended >= owed:
                return
        time.sleep(0.02)


def _tell(console: Console, found: Toll) -> None:
    style = "green" if found.right else "bold red"
    console.print(f"{found.script}: {found.losses} replies lost, {found.seconds:.1f} s", style=style, highlight=False)
    for what in ("twice", "lost", "wrong"):
        evidence: list[str] = getattr(found, what)
        for line in evidence[:5]:
            console.print(f"  {what}: {line}", style="red", markup=False)
        if len(evidence) > 5:
            console.print(f"  {what}: and {len(evidence) - 5} more", style="red")


def _table(found: list[Toll]) -> Table:
    table = Table(title="replies lost after the script ran", title_justify="left")
    for column in ("script", "replies lost", "jobs", "made twice", "lost", "wrong answers"):
        table.add_column(column, justify="left" if column == "script" else "right")
    for each in found:
        numbers = (each.losses, each.jobs, len(each.twice), len(each.lost), len(each.wrong))
        table.add_row(each.script, *(f"{number:,}" for number in numbers), style="" if each.right else "bold red")
    table.add_section()
    sums = (
        sum(each.losses for each in found),
        sum(each.jobs for each in found),
        *(sum(len(getattr(each, what)) for each in found) for what in ("twice", "lost", "wrong")),
    )
    table.add_row("all", *(f"{number:,}" for number in sums))
    return table
