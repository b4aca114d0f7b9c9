"""Does each firing of `* * * * * *` take place once, while one of two supervisors is killed every four seconds?

What counts is the ledger that the handlers write.
"""

from __future__ import annotations

import collections
import signal
import time

import psutil

from benchmarks.harness import Bench, Failed, Project, Supervisor, until
from benchmarks.rows import Row, Spread, at_most

PAUSE = 4.0
LEASE = 2


def kill(supervisor: Supervisor) -> None:
    """Kills it alone: what it has started dies by itself."""
    tree = supervisor.tree()
    supervisor.process.send_signal(signal.SIGKILL)
    supervisor.process.wait()
    psutil.wait_procs(tree, timeout=20)


def firings(project: Project) -> list[int]:
    """The second of each firing whose job ran."""
    ledger = project.folder / "ledger"
    lines = ledger.read_text().splitlines() if ledger.exists() else []
    return [int(line.split()[0].partition("@")[2]) for line in lines]


def measure(bench: Bench) -> list[Row]:
    seconds = bench.size(60, 12)
    with bench.project("timely", BENCHMARK_REPEAT="* * * * * *") as project:
        pair = [project.supervisor(lease=LEASE).ready(), project.supervisor(lease=LEASE).ready()]
        until("the first firing", lambda: firings(project))
        began = time.monotonic()
        kills = 0
        while (left := seconds - (time.monotonic() - began)) > 0:
            time.sleep(min(PAUSE, left))
            victim = pair.pop(0)
            kill(victim)
            kills += 1
            pair.append(project.supervisor(lease=LEASE).ready())
        count = len(firings(project))
        until("a firing after the last kill", lambda: len(firings(project)) > count)
        for supervisor in pair:
            supervisor.end()
        found = firings(project)
    times = collections.Counter(found)
    first, last = min(times), max(times)
    if last - first < seconds - LEASE - 2:
        raise Failed(f"it fired for {last - first} s only")
    twice = sum(number > 1 for number in times.values())
    # How long nothing fired, beyond the second that always lies between two firings.
    gaps = [later - earlier - 1 for earlier, later in zip(sorted(times), sorted(times)[1:], strict=False)]
    what = f"* * * * * *, {seconds} s, two supervisors, {kills} killed"
    return [
        at_most(f"{what}: firings run twice", Spread([float(twice)]), 0, 0),
        at_most(f"{what}: missed beyond one lease", Spread([float(sum(gap > LEASE for gap in gaps))]), 0, 0),
        at_most(f"{what}: missed at all", Spread([float(sum(gaps))]), kills * LEASE, 0),
    ]
