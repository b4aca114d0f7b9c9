"""How much memory do the command and the server need at most, with very many lines?"""

from __future__ import annotations

import os
import subprocess

import psutil

from benchmarks.harness import ROOT, Bench, Failed, until
from benchmarks.maps.running import MAP, count, environment, folder
from benchmarks.rows import Row, Spread, at_most

MIB = 2**20


def peak(pid: int) -> int:
    """Bytes that a process has held at most so far; 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/status") as status:
            return next((int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:")), 0)
    except OSError:
        return 0


def server(home: str) -> int:
    """The process id of the embedded server in that folder; 0 if there is none yet."""
    for process in psutil.process_iter(["name"]):
        try:
            if "server" in process.name() and process.cwd() == home:
                return process.pid
        except psutil.Error:
            continue
    return 0


def measure(bench: Bench) -> list[Row]:
    number, here = bench.size(2_000_000, 100_000), folder(bench)
    given, output, home = here / "lines", here / "rows", here / "home"
    with given.open("w") as file:
        file.writelines(f"{each}\n" for each in range(number))
    # A server of its own, which has held nothing before.
    env = {name: value for name, value in environment(bench).items() if name != "TEMPOTASK_DB"}
    with given.open("rb") as lines, output.open("wb") as rows:
        started = subprocess.Popen(
            [*MAP, "benchmarks.apps.mapped:same"],
            stdin=lines,
            stdout=rows,
            cwd=ROOT,
            env={**env, "TEMPOTASK_HOME": str(home)},
        )
        command = its = 0

        def over() -> bool:
            nonlocal command, its
            pid = server(os.path.realpath(home))
            command, its = max(command, peak(started.pid)), max(its, peak(pid) if pid else 0)
            return started.poll() is not None

        until("the end of the map", over, every=0.05, within=600)
    if started.returncode or count(output) != number:
        raise Failed(f"status {started.returncode}, {count(output):,} rows for {number:,} lines")
    what = f"map over {number:,} lines: peak memory of the"
    return [
        at_most(f"{what} command", Spread([command / MIB], "MiB"), 150, 60),
        at_most(f"{what} server", Spread([its / MIB], "MiB"), 250, 100),
    ]
