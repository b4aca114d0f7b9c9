"""Is real work done as fast as by pools that keep their jobs in memory, and with how much CPU?

Ours goes two ways: each is a job, or an executor is handed them in chunks; the faster one is held against the fastest
pool. Asked of the pools that are named as peers: pool, executor, joblib, and GNU parallel, which is only told, as it is
none. All have two processes, do the same jobs by the same functions in one environment, and must come to the same
results. Each way is a driver, a process that has been started beforehand and has done all jobs once, so starting
processes and importing libraries is counted for nobody; but GNU parallel starts its processes for each chunk, and that
is its way. Each round has drivers of its own: how a process lies in memory makes some percent, and stays as it is.
The time is that from when the first job is handed out, for us enqueued, until the last result is there.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from benchmarks.harness import PATIENCE, ROOT, Bench, Failed
from benchmarks.peers.environment import NotInstalled, run
from benchmarks.real.kinds import KINDS, Kind
from benchmarks.real.rivals import ENVIRONMENT, ONE_THREAD, RIVALS, Rival, add, chunks_of
from benchmarks.rows import Row, Spread, ratio, told

OURS = {"ours": "each a job", "ours_in_chunks": "TempoExecutor"}
"""Our ways, and how the table calls them."""
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


def best(driver: Driver, sizes: Sequence[int], jobs: Path) -> int:
    """The size of chunks with which it is fastest here."""
    return min(sizes, key=lambda chunk: driver.run(jobs, chunk).seconds) if len(sizes) > 1 else sizes[0]


@dataclass
class Series:
    """The runs of each way with the jobs of a grain, a run a round."""

    jobs: Path
    """The file of them."""
    sizes: Mapping[str, Sequence[int]]
    """The sizes of chunks that each way is tried with."""
    runs: dict[str, list[Run]]
    chunks: dict[str, int] = field(default_factory=dict)
    """The sizes with which they are fastest, found in the first round."""
    digests: set[str] = field(default_factory=set)
    """Of the results; there is to be one."""

    def add_round(self, drivers: Mapping[str, Driver]) -> None:
        """Has each way do all jobs, for the first time in these processes, and then once more, to be measured."""
        for way, driver in drivers.items():
            self.digests.add(driver.run(self.jobs, self.chunks.get(way, self.sizes[way][-1])).digest)
        if not self.chunks:
            self.chunks = {way: best(driver, self.sizes[way], self.jobs) for way, driver in drivers.items()}
        for way, driver in drivers.items():
            run = driver.run(self.jobs, self.chunks[way])
            self.digests.add(run.digest)
            self.runs[way].append(run)

    def name(self, way: str) -> str:
        """How the table calls a way."""
        name = OURS.get(way, way)
        return f"{name} in chunks of {self.chunks[way]}" if len(self.sizes[way]) > 1 else name


def rows_of(what: str, rivals: Mapping[str, Rival], series: Series) -> list[Row]:
    if len(series.digests) != 1:
        raise Failed(f"not all ways came to the same results: {what}")
    seconds = {way: Spread([run.seconds for run in runs], "s") for way, runs in series.runs.items()}
    cpu = {way: Spread([run.cpu for run in runs], "s") for way, runs in series.runs.items()}
    mine = min(OURS, key=lambda way: seconds[way].median)
    pools = [way for way, rival in rivals.items() if rival.in_memory]
    fastest = min(pools, key=lambda way: seconds[way].median) if pools else None
    rows = []
    for ours, way in ((ours, way) for ours in OURS for way in rivals if mine == ours or way == fastest):
        wall = f"{what}, our wall ({series.name(ours)}) / that of {series.name(way)}"
        if (ours, way) == (mine, fastest):
            rows.append(ratio(wall, seconds[ours], seconds[way], AT_MOST, AIM, more_is_better=False))
        else:
            rows.append(told(wall, seconds[ours], seconds[way]))
        rows.append(told(wall.replace("our wall", "our CPU"), cpu[ours], cpu[way]))
    return rows


def of_kind(bench: Bench, kind: Kind, rivals: Mapping[str, Rival]) -> list[Row]:
    library = f", {kind.library} {add(kind.library)}" if kind.library else ""
    folder, part = bench.folder / "real" / kind.name, bench.size(1, 10)
    folder.mkdir(parents=True)
    make = [ENVIRONMENT.python, "-m", "benchmarks.real.make", kind.name, str(folder), str(part)]
    run(make, ROOT, {**os.environ, **ONE_THREAD})
    ways = (*OURS, *rivals)
    grains = {}
    for number, grain in enumerate(kind.grains):
        count = grain.count // part
        sizes = {"ours": [1], "ours_in_chunks": chunks_of(count), **{way: rivals[way].chunks(count) for way in rivals}}
        jobs, runs = folder / f"{number}.json", {way: list[Run]() for way in ways}
        grains[f"{kind.what} {count:,} {grain.what}{library}"] = Series(jobs, sizes, runs)
    for _ in range(bench.rounds):
        with contextlib.ExitStack() as stack:
            drivers = {way: stack.enter_context(Driver(bench, way, kind, folder)) for way in ways}
            for driver in drivers.values():
                driver.ready()
            for series in grains.values():
                series.add_round(drivers)
        bench.empty()
    shutil.rmtree(folder)
    return [row for what, series in grains.items() for row in rows_of(what, rivals, series)]


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
