"""The command `python -m benchmarks`: measures, prints the table as it goes, and writes the figures to a file."""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks.guard import CALM, GUARDED, Measure, hold, keep
from benchmarks.guard import table as table_of_ratios
from benchmarks.harness import ROOT, Bench, Failed
from benchmarks.kept import Kept
from benchmarks.machine import machine, share
from benchmarks.peers.pools import POOLS
from benchmarks.peers.queues import PEERS
from benchmarks.plots import draw
from benchmarks.real.rivals import RIVALS
from benchmarks.rows import Row, number

NAMES = (
    "drain",
    "drain_peers",
    "drain_pools",
    "floors",
    "limit",
    "many_queues",
    "bulk_enqueue",
    "single_enqueue",
    "enqueue_peers",
    "hidden_long_job",
    "efficiency",
    "real_work",
    "fairness",
    "idle",
    "idle_latency",
    "kill_worker",
    "worker_death",
    "twenty_kills",
    "poison",
    "kill_supervisor",
    "host_lost",
    "server_away",
    "server_killed",
    "durability",
    "append_only",
    "memory_waiting",
    "worker_memory",
    "large_payloads",
    "arrays",
    "results",
    "results_limit",
    "results_pool",
    "executor",
    "leaks",
    "delayed",
    "cron",
    "retry_delay",
    "priorities",
    "quiet_features",
    "c_time_limit",
    "cancel_running",
    "cancel_race",
    "looking",
    "top",
    "acting",
    "scale",
    *(f"maps.{question}" for question in ("files", "lines", "memory", "resume")),
    *(f"growth.{question}" for question in ("queues", "backlog", "payloads", "workers", "supervisors", "history")),
)
"""A file each, in the order of the table."""
QUICK = (
    *("drain", "drain_peers", "drain_pools", "floors", "limit", "bulk_enqueue", "single_enqueue", "enqueue_peers"),
    *("efficiency", "idle_latency", "append_only", "memory_waiting", "results", "results_limit", "results_pool"),
    "executor",
)
"""Those for which, small and with all peers installed, three minutes are enough."""
KNOWN = tuple(dict.fromkeys((*PEERS, *POOLS, *RIVALS)))
WHEN_ASKED = ("profile",)
"""Those that are held against nothing."""

console = Console()
if not console.is_terminal:
    # In a file nothing needs to be folded.
    console = Console(width=170)


def chosen(only: str) -> list[str]:
    """For argparse: which benchmarks are meant."""
    if only == "all":
        return list(NAMES)
    names = [name.strip() for name in only.split(",") if name.strip()]
    every = (*NAMES, *WHEN_ASKED)
    for name in names:
        if name not in every:
            near = difflib.get_close_matches(name, every, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(every)}"
            raise argparse.ArgumentTypeError(f"there is no benchmark {name!r}; {hint}")
    return names


def named(names: str) -> list[str]:
    """For argparse: which peers are meant."""
    peers = list(KNOWN) if names == "all" else [name.strip() for name in names.split(",") if name.strip()]
    for name in peers:
        if name not in KNOWN:
            raise argparse.ArgumentTypeError(f"there is no peer {name!r}; there are {', '.join(KNOWN)}")
    return peers


def table(rows: list[Row]) -> Table:
    shown = Table(title="two workers; medians", title_justify="left")
    for column in ("what", "measured", "reference", "ratio", "at least", "aim", "holds"):
        shown.add_column(column, overflow="fold")
    for row in rows:
        style = {"aim": "green", "yes": "yellow"}.get(row.holds, "bold red")
        shown.add_row(
            escape(row.what),
            str(row.measured),
            str(row.reference or ""),
            f"{row.figure:.3g}" if row.reference else "",
            bound(row, row.least),
            bound(row, row.aim),
            f"[{style}]{row.holds}[/]",
        )
    return shown


def bound(row: Row, value: float | None) -> str:
    if value is None:
        return ""
    return f"{'' if row.more_is_better else '≤ '}{number(value)} {row.unit}".rstrip()


def write(path: Path, bench: Bench, rows: dict[str, list[Row]]) -> None:
    path.parent.mkdir(exist_ok=True)
    found = [{"benchmark": name, **dataclasses.asdict(row), "holds": row.holds} for name in rows for row in rows[name]]
    told = {
        "machine": machine(bench),
        "peers": bench.peers,
        "missing": bench.missing,
        "absent": bench.absent,
        "rows": found,
    }
    path.write_text(json.dumps(told, indent=1) + "\n")


def run(names: list[str], bench: Bench, plots: Path | None = None) -> int:
    """Returns 1 when a row does not hold, a benchmark failed or a peer that was asked for is missing."""
    rows: dict[str, list[Row]] = {}
    failed = False
    path = ROOT / "benchmarks" / "results" / time.strftime("%Y%m%d-%H%M%S.json")
    for name in names:
        began = time.monotonic()
        try:
            rows[name] = bench.measure(name)
        except Failed as error:
            failed = True
            console.print(f"{name}: {error}", style="red", markup=False)
            continue
        took = time.monotonic() - began
        for row in rows[name]:
            against = f" against {row.reference}: {row.figure:.3g}" if row.reference else ""
            console.print(
                f"{name}: {row.what}: {row.measured}{against} {row.holds}",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
        console.print(f"{name} took {took:.1f} s", style="dim")
    if bench.absent:
        absent = ", ".join(bench.absent)
        console.print(f"not installed: {absent}; --peers NAME,… installs some", style="yellow", markup=False)
    for missing in bench.missing:
        console.print(f"missing: {missing}", style="red", markup=False)
    every = [row for some in rows.values() for row in some]
    console.print(table(every))
    write(path, bench, rows)
    console.print(f"written to {path.relative_to(ROOT)}")
    if plots is not None:
        console.print(f"drawn: {', '.join(str(drawn) for drawn in draw(path, plots))}")
    return int(failed or bool(bench.missing) or any(row.holds == "NO" for row in every))


def guard(names: list[str], bench: Bench) -> int:
    """Returns 1 when a ratio has become worse by more than it may."""
    kept = Kept.read()
    held = list(hold(kept, names or GUARDED, in_rounds(bench), share))
    console.print(table_of_ratios(kept, held))
    if missed := sum(each.missed for each in held):
        console.print(f"missed: {missed}; if it is meant to be so: python -m benchmarks --keep", style="red")
    return int(bool(missed))


def keep_all(facts: dict[str, Any], bench: Bench) -> int:
    """Says when others were at work: who reads what was kept finds it there too."""
    kept = keep({**facts, "share": min(share() for _ in range(3))}, in_rounds(bench))
    kept.write()
    console.print_json(data=kept.ratios)
    if kept.machine["share"] < CALM:
        console.print(
            f"others are at work here: keep it again when it is quiet ({kept.machine['share']:.2f})", style="red"
        )
    return 0


def in_rounds(bench: Bench) -> Measure:
    def measure(name: str, rounds: int) -> list[Row]:
        bench.rounds = rounds
        return bench.measure(name)

    return measure


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measures what docs/design.md claims.")
    some = f"all, or some of: {', '.join((*NAMES, *WHEN_ASKED))}"
    parser.add_argument("names", nargs="*", type=chosen, default=[], metavar="NAME", help="as --only")
    parser.add_argument("--only", type=chosen, default=[], metavar="NAME,…", help=some)
    parser.add_argument(
        "--peers", type=named, metavar="NAME,…", help=f"against which others: all, or {', '.join(KNOWN)}"
    )
    small = "small sizes, to see that it works, not to compare: "
    small += f"{', '.join(QUICK)}, unless others are named; against the peers that are installed"
    parser.add_argument("--quick", action="store_true", help=small)
    ratios = parser.add_mutually_exclusive_group()
    ratios.add_argument("--guard", action="store_true", help="small: holds ratios to floors against those in kept.json")
    ratios.add_argument("--keep", action="store_true", help="writes kept.json")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="draws the figures there too, as SVG")
    parser.add_argument("--server", type=Path, metavar="PROGRAM", help="a redis-server or valkey-server")
    told = parser.parse_args()
    told.names = [*told.only, *(name for names in told.names for name in names)]
    if told.keep and told.names:
        parser.error("--keep writes all of kept.json")
    if told.guard and (others := [name for name in told.names if name not in GUARDED]):
        parser.error(f"not guarded: {', '.join(others)}; there are {', '.join(GUARDED)}")
    return told


def carry_out(told: argparse.Namespace, bench: Bench) -> int:
    facts = machine(bench)
    console.print(", ".join(f"{key} {value}" for key, value in facts.items()), style="dim", soft_wrap=True)
    if told.keep:
        return keep_all(facts, bench)
    if told.guard:
        return guard(told.names, bench)
    return run(told.names or list(QUICK if bench.quick else NAMES), bench, told.plots)


def main() -> int:
    told = arguments()
    quick = told.quick or told.guard or told.keep
    peers = [] if told.peers is None and not quick else told.peers
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        with Bench(quick=quick, program=told.server, peers=peers) as bench:
            return carry_out(told, bench)
    except KeyboardInterrupt:
        return 130
    except (Failed, OSError) as error:
        console.print(f"benchmarks: {error}", style="red", markup=False)
        return 2


if __name__ == "__main__":
    sys.exit(main())
