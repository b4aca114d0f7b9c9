"""The files of the standard library, each 10 ms of work or more: a map against the fastest of GNU parallel, `xargs -P`
and `Pool.imap_unordered`. Starting and ending is in the time of all."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.harness import ROOT, WORKERS, Bench, Failed, each_in_turn, in_turns
from benchmarks.maps.running import MAP, count, environment, folder, parallel, seconds
from benchmarks.rows import Row, ratio

SMALLEST = 12_000
"""Bytes of a file from which it takes 10 ms."""
CHUNK = "16"
"""Files that a process of Python is started for, where there is no pool."""
ROUNDS = 9
"""Of us and of the fastest: it is about hundredths, and a run of the same files varies by a tenth here."""
SEARCH = 3
"""Rounds in which the fastest is found, before it is held against us: the best of several in the very rounds that are
compared is as a rule the one that was lucky in them."""
NEAR = 1.15
"""Who takes more than so many times as long as the fastest in a first round has no part in the others of the search."""
ONE = [sys.executable, "-m", "benchmarks.apps.mapped"]
POOL = """
import json, multiprocessing, sys
from benchmarks.apps.mapped import analysed
paths = sys.stdin.read().split("\\n")[:-1]
with multiprocessing.Pool({workers}) as pool:
    for row in pool.imap_unordered(analysed, paths, {chunk}):
        print(json.dumps(row))
"""


def files() -> list[str]:
    """The sources of the standard library, with its tests, that are large enough."""
    found = Path(sysconfig.get_paths()["stdlib"]).rglob("*.py")
    ours = [path for path in found if not {"site-packages", "dist-packages"} & {*path.parts}]
    return sorted(str(path) for path in ours if path.stat().st_size >= SMALLEST)


def rivals() -> dict[str, list[str]]:
    """Their commands, by name."""
    workers = str(WORKERS)
    found = {
        f"xargs -P, {CHUNK} a process": ["xargs", "-P", workers, "-n", CHUNK, *ONE],
        f"GNU parallel, {CHUNK} a process": [parallel(), "-j", workers, "-n", CHUNK, *ONE, "{}"],
    }
    for chunk in ("1", "4"):
        program = POOL.format(workers=WORKERS, chunk=chunk)
        found[f"Pool.imap_unordered in chunks of {chunk}"] = [sys.executable, "-c", program]
    return found


def measure(bench: Bench) -> list[Row]:
    here = folder(bench)
    given, output = here / "files", here / "rows"
    paths = files() if not bench.quick else files()[::16]
    given.write_text("".join(f"{path}\n" for path in paths))

    def timed(command: list[str]) -> float:
        taken = seconds(command, given, output, cwd=ROOT, env=environment(bench))
        if count(output) != len(paths):
            raise Failed(f"{command[0]} wrote {count(output)} rows for {len(paths)} files")
        return taken

    others = {name: partial(timed, command) for name, command in rivals().items()}
    fastest = found_fastest(others, bench.size(SEARCH, 1))
    ours = partial(timed, [*MAP, "benchmarks.apps.mapped:analysed"])
    mine, theirs = in_turns(ours, others[fastest], bench.size(ROUNDS, 1), "s")
    what = f"map over {len(paths)} files of the standard library, against {fastest}"
    return [ratio(what, mine, theirs, 1.03, 1.0, more_is_better=False)]


def found_fastest(others: Mapping[str, Callable[[], float]], rounds: int) -> str:
    """The name of the fastest."""
    times = {name: [measure()] for name, measure in others.items()}
    best = min(times.values())[0]
    near = {name: others[name] for name, (first,) in times.items() if first <= NEAR * best}
    for name, more in each_in_turn(near, rounds - 1).items():
        times[name] += more
    return min(near, key=lambda name: median(times[name]))
