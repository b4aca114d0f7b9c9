"""Is real work done as fast as by pools that keep their jobs in memory, and with how much CPU?

Asked of the pools that are named as peers: pool, executor, joblib, and GNU parallel, which is only told, as it is none.
All have two processes, do the same jobs by the same functions in one environment, and must come to the same results.
Each way is a driver, a process that has been started beforehand and has done all jobs once, so starting processes and
importing libraries is counted for nobody; but GNU parallel starts its processes for each chunk, and that is its way.
The time is that from when the first job is handed out, for us enqueued, until the last result is there.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from benchmarks.harness import PATIENCE, ROOT, Bench, Failed, each_in_turn
from benchmarks.peers.environment import NotInstalled, run
from benchmarks.real.kinds import KINDS, Grain, Kind
from benchmarks.real.rivals import ENVIRONMENT, ONE_THREAD, RIVALS, Rival, add
from benchmarks.rows import Row, Spread, told

OURS = "ours"
AT_MOST, AIM = 1.03, 1.00


@dataclass(frozen=True)
class Run:
    """All jobs of a grain, done once."""

    seconds: float
    cpu: float
    """Seconds, of all processes and the server."""
    digest: str
    """Of all results."""


class Driver:
    """One way to do the jobs of a kind; see benchmarks/real/driver.py."""

    def __init__(self, bench: Bench, way: str, kind: Kind, folder: Path) -> None:
        self._way = way
        self._log = folder / f"{way}.log"
        variables = {"TEMPOTASK_DB": bench.url, "BENCHMARK_KIND": kind.name, "PARALLEL_HOME": str(folder)}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [ENVIRONMENT.python, "-m", "benchmarks.real.driver", way, kind.name],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=ROOT,
                env={**os.environ, **ONE_THREAD, **variables},
                process_group=0,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def ready(self) -> None:
        """Waits until it has been started."""
        self._line()

    def run(self, jobs: Path, chunk: int) -> Run:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            print(jobs, chunk, file=self._process.stdin, flush=True)
        return Run(**json.loads(self._line()))

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise Failed(f"{self._way} has ended:\n{self._log.read_text(errors='replace')[-2000:]}")
        return line


def best(driver: Driver, rival: Rival, jobs: Path, count: int) -> int:
    """The size of chunks with which it is fastest here."""
    return min(rival.chunks(count), key=lambda chunk: driver.run(jobs, chunk).seconds)


def measured(
    bench: Bench, drivers: Mapping[str, Driver], rivals: Mapping[str, Rival], jobs: Path, count: int
) -> tuple[dict[str, list[Run]], dict[str, int]]:
    """The runs of each way, in turns, and the sizes of chunks."""
    first = [driver.run(jobs, rivals[way].chunks(count)[-1] if way in rivals else 1) for way, driver in drivers.items()]
    chunks = {way: best(drivers[way], rival, jobs, count) for way, rival in rivals.items() if rival.chunked}
    runs = each_in_turn(
        {way: functools.partial(driver.run, jobs, chunks.get(way, 1)) for way, driver in drivers.items()},
        bench.rounds,
    )
    if len({run.digest for some in (first, *runs.values()) for run in some}) != 1:
        raise Failed(f"not all ways came to the same results: {dict(zip(drivers, first, strict=True))}")
    return runs, chunks


def rows_of(
    what: str, rivals: Mapping[str, Rival], runs: Mapping[str, list[Run]], chunks: Mapping[str, int]
) -> list[Row]:
    seconds = {way: Spread([run.seconds for run in some], "s") for way, some in runs.items()}
    cpu = {way: Spread([run.cpu for run in some], "s") for way, some in runs.items()}
    pools = [way for way, rival in rivals.items() if rival.in_memory]
    fastest = min(pools, key=lambda way: seconds[way].median) if pools else None
    rows = []
    for way in rivals:
        name = f"{way} in chunks of {chunks[way]}" if way in chunks else way
        mine, others = seconds[OURS], seconds[way]
        if way == fastest:
            wall = f"{what}, our wall / that of the fastest pool: {name}"
            rows.append(Row(wall, mine, mine.median / others.median, AT_MOST, AIM, False, others))
        else:
            rows.append(told(f"{what}, our wall / that of {name}", mine, others))
        rows.append(told(f"{what}, our CPU / that of {name}", cpu[OURS], cpu[way]))
    return rows


def of_kind(bench: Bench, kind: Kind, rivals: Mapping[str, Rival]) -> list[Row]:
    library = f", {kind.library} {add(kind.library)}" if kind.library else ""
    folder, part = bench.folder / "real" / kind.name, bench.size(1, 10)
    folder.mkdir(parents=True)
    make = [ENVIRONMENT.python, "-m", "benchmarks.real.make", kind.name, str(folder), str(part)]
    run(make, ROOT, {**os.environ, **ONE_THREAD})

    def of_grain(number: int, grain: Grain) -> list[Row]:
        count = grain.count // part
        runs, chunks = measured(bench, drivers, rivals, folder / f"{number}.json", count)
        return rows_of(f"{kind.what} {count:,} {grain.what}{library}", rivals, runs, chunks)

    with contextlib.ExitStack() as stack:
        drivers = {way: stack.enter_context(Driver(bench, way, kind, folder)) for way in (OURS, *rivals)}
        for driver in drivers.values():
            driver.ready()
        rows = [row for number, grain in enumerate(kind.grains) for row in of_grain(number, grain)]
    shutil.rmtree(folder)
    bench.empty()
    return rows


def measure(bench: Bench) -> list[Row]:
    rivals: dict[str, Rival] = {}

    def note(rival: Rival) -> list[Row]:
        rivals[rival.name] = rival
        return []

    rows = bench.for_each_peer(RIVALS, note)
    for kind in KINDS.values() if rivals else ():
        try:
            rows += of_kind(bench, kind, rivals)
        except NotInstalled as error:
            bench.missing.append(f"{kind.library or kind.name}: {error}")
    return rows
