"""A map whose whole process group is killed again and again: is an input missing in the end, there twice, or run again
although its row was written? A ledger that the function itself writes tells which ran."""

from __future__ import annotations

import collections
import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

from benchmarks.harness import ROOT, Bench, Failed
from benchmarks.maps.running import MAP, environment, folder
from benchmarks.rows import Row, Spread, at_most


def written(output: Path) -> list[str]:
    """The inputs of all whole rows."""
    lines = output.read_bytes().splitlines(keepends=True) if output.exists() else []
    return [json.loads(line)["input"] for line in lines if line.endswith(b"\n")]


def measure(bench: Bench) -> list[Row]:
    number, kills = bench.size(100_000, 20_000), bench.size(10, 3)
    here = folder(bench)
    given, output, ledger = (here / name for name in ("lines", "rows", "ledger"))
    given.write_text("".join(f"{each}\n" for each in range(number)))
    command = [*MAP, "benchmarks.apps.mapped:entered", str(given), "-o", str(output)]
    env, ran = environment(bench, BENCHMARK_LEDGER=str(ledger)), dict[str, int]()
    moments = sorted(random.uniform(0, 0.9) for _ in range(kills))
    for kill, moment in enumerate(moments):
        size = int(moment * number * len(b'{"index":99999,"input":"99999","result":"99999"}\n'))
        started = subprocess.Popen(
            [*command, *(["--resume"] if kill else [])], cwd=ROOT, env=env, stdin=subprocess.DEVNULL, process_group=0
        )
        # Some of these moments are while it starts, as the output is that long already.
        while not (output.exists() and output.stat().st_size >= size) and started.poll() is None:
            time.sleep(0.001)
        os.killpg(started.pid, signal.SIGKILL)
        started.wait()
        counts = collections.Counter(ledger.read_text().split() if ledger.exists() else ())
        for one in written(output):
            ran.setdefault(one, counts[one])
    ended = subprocess.run([*command, "--resume"], cwd=ROOT, env=env, stdin=subprocess.DEVNULL, check=False)
    if ended.returncode:
        raise Failed(f"the last map ended with {ended.returncode}")
    rows, counts = collections.Counter(written(output)), collections.Counter(ledger.read_text().split())
    found = {
        "missing": number - len(rows),
        "twice": sum(times > 1 for times in rows.values()),
        "run again though written": sum(counts[one] != times for one, times in ran.items()),
    }
    what = f"{kills} kills of a map over {number:,} lines: inputs"
    return [at_most(f"{what} {name}", Spread([float(each)]), 0, 0) for name, each in found.items()]
