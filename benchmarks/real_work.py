"""Is real work done as fast as by pools that keep their jobs in memory, and with how much CPU?

Ours goes two ways: each is a job, or an executor is handed them in chunks. Held against ours are the pools that are
named as peers: pool, executor, joblib; and GNU parallel, which is only told, as it is none. All have two processes, do
the same jobs by the same functions in one environment, and must come to the same results. A search finds the best
chunks, the faster of our ways and the fastest pool, and these are then compared, round by round.

Each way is a driver, a process that has been started beforehand and has done all jobs once, so starting processes and
importing libraries is counted for nobody; but GNU parallel starts its processes for each chunk, and that is its way.
The wall time is that from when the first job is handed out, for us enqueued, until the last result is there.

The same work takes up to a third more or less of a processor from one process to the next, and from one minute to the
next, where bounds are about hundredths. So walls are compared by what the jobs themselves took of a processor, by the
clock of their own thread: the wall for each second of that. The plain walls are told besides. Each round has drivers of
its own. The search goes by plain walls: the fastest pool is the one that is done first.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import statistics
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
TRIES = 2
"""Rounds of the search in which each way is tried with each size of chunks."""
FINALISTS, FINALS = 3, 3
"""So many of a side, the fastest until then, go on for so many more rounds."""
ROUNDS = 7
"""More than others have: it is about hundredths."""


Setting = tuple[str, int]
"""A way, and the size of its chunks."""


@dataclass(frozen=True)
class Run:
    """All jobs of a grain, done once."""

    seconds: float
    work: float
    """Seconds of a processor that the jobs themselves took."""
    cpu: float
    """Seconds of a processor, of all processes and the server."""
    digest: str
    """Of all results."""

    @property
    def cost(self) -> float:
        """Seconds for each second that the jobs took of a processor: half a second, if two cores did nothing else."""
        return self.seconds / self.work


class Driver:
    """One way to do the jobs of a kind; see benchmarks/real/driver.py."""

    def __init__(self, bench: Bench, way: str, kind: Kind, folder: Path) -> None:
        self._way = way
        self._log = folder / f"{way}.log"
        variables = {"TEMPOTASK_DB": bench.url, "BENCHMARK_KIND": kind.name, "PARALLEL_HOME": str(folder)}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [ENVIRONMENT.python, "-m", "benchmarks.real.driver", way],
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


TOLD: Mapping[str, Callable[[Run], float]] = {
    "wall": lambda run: run.seconds,
    "jobs' CPU": lambda run: run.work,
    "CPU in all": lambda run: run.cpu,
}
"""What else the table tells of runs."""


@dataclass
class Series:
    """The runs of each way with the jobs of a grain."""

    jobs: Path
    """The file of them."""
    sizes: Mapping[str, Sequence[int]]
    """The sizes of chunks that each way is tried with."""
    pools: Sequence[str]
    chunks: dict[str, int] = field(default_factory=dict)
    """The sizes with which they are fastest."""
    mine: str = ""
    """The faster of our ways."""
    reference: str = ""
    """The fastest of the pools."""
    runs: dict[str, list[Run]] = field(default_factory=dict)
    """A run a round, of those that are compared."""
    digests: set[str] = field(default_factory=set)
    """Of the results; there is to be one."""

    def search(self, drivers: Mapping[str, Driver]) -> None:
        """Finds with which chunks each way is fastest, and which ways are: in runs of their own, as the best of several
        in the very runs that are compared is as a rule the one that was lucky in them."""
        for way, driver in drivers.items():
            self._run(driver, self.sizes[way][-1])
        times: dict[Setting, list[float]] = {(way, size): [] for way in drivers for size in self.sizes[way]}
        self._try(drivers, times, times, TRIES)
        sides = [fastest(times, ways)[:FINALISTS] for ways in (OURS, self.pools)]
        self._try(drivers, times, [setting for side in sides for setting in side], FINALS)
        winners = [fastest({setting: times[setting] for setting in side}, drivers)[:1] for side in sides]
        self.chunks = {way: fastest(times, [way])[0][1] for way in drivers}
        for winner in winners:
            self.chunks |= winner
        self.mine, self.reference = (winner[0][0] if winner else "" for winner in winners)
        others = [way for way in drivers if way not in (*OURS, *self.pools)]
        self.runs = {way: [] for way in (*OURS, self.reference, *others) if way}

    def _try(
        self,
        drivers: Mapping[str, Driver],
        times: Mapping[Setting, list[float]],
        settings: Iterable[Setting],
        rounds: int,
    ) -> None:
        """Adds runs to `times`: each setting in turn, as what slows the machine down comes and goes within minutes."""
        for way, size in list(settings) * rounds:
            times[way, size].append(self._run(drivers[way], size).seconds)

    def add_round(self, drivers: Mapping[str, Driver]) -> None:
        """Has those that are compared do all jobs, for the first time in these processes, and then once more, to be
        measured."""
        for way in self.runs:
            self._run(drivers[way], self.chunks[way])
        for way, runs in self.runs.items():
            runs.append(self._run(drivers[way], self.chunks[way]))

    def _run(self, driver: Driver, chunk: int) -> Run:
        run = driver.run(self.jobs, chunk)
        self.digests.add(run.digest)
        return run

    def rows(self, what: str) -> list[Row]:
        """How each of our ways compares with each of the others."""
        if len(self.digests) != 1:
            raise Failed(f"not all ways came to the same results: {what}")
        rows = []
        for ours, way in ((ours, way) for ours in OURS for way in self.runs if way not in OURS):
            names = f"({self._name(ours)}) / that of {self._name(way)}"
            mine, others = self.runs[ours], self.runs[way]
            our_cost, cost = (Spread([run.cost for run in runs]) for runs in (mine, others))
            figure = f"{what}, our wall a second of the jobs' CPU {names}"
            if (ours, way) == (self.mine, self.reference):
                rows.append(ratio(figure, our_cost, cost, AT_MOST, AIM, more_is_better=False))
            else:
                rows.append(told(figure, our_cost, cost))
            for name, seconds in TOLD.items():
                spreads = (Spread([seconds(run) for run in runs], "s") for runs in (mine, others))
                rows.append(told(f"{what}, our {name} {names}", *spreads))
        return rows

    def _name(self, way: str) -> str:
        """How the table calls a way."""
        name = OURS.get(way, way)
        return f"{name} in chunks of {self.chunks[way]}" if len(self.sizes[way]) > 1 else name


def fastest(times: Mapping[Setting, Sequence[float]], ways: Iterable[str]) -> list[Setting]:
    """The settings of these ways, the fastest first."""
    settings = [(way, size) for way, size in times if way in ways]
    return sorted(settings, key=lambda setting: statistics.median(times[setting]))


def of_kind(bench: Bench, kind: Kind, rivals: Mapping[str, Rival]) -> list[Row]:
    library = f", {kind.library} {add(kind.library)}" if kind.library else ""
    folder, part = bench.folder / "real" / kind.name, bench.size(1, 10)
    folder.mkdir(parents=True)
    make = [ENVIRONMENT.python, "-m", "benchmarks.real.make", kind.name, str(folder), str(part)]
    run(make, ROOT, {**os.environ, **ONE_THREAD})
    pools = [way for way, rival in rivals.items() if rival.in_memory]
    grains = {}
    for number, grain in enumerate(kind.grains):
        count = grain.count // part
        sizes = {"ours": [1], "ours_in_chunks": chunks_of(count), **{way: rivals[way].chunks(count) for way in rivals}}
        what = f"{kind.what} {count:,} {grain.what}{library}"
        grains[what] = Series(folder / f"{number}.json", sizes, pools)
    with started((*OURS, *rivals), bench, kind, folder) as drivers:
        for series in grains.values():
            series.search(drivers)
    for _ in range(bench.size(ROUNDS, 1)):
        with started({way for series in grains.values() for way in series.runs}, bench, kind, folder) as drivers:
            for series in grains.values():
                series.add_round(drivers)
        bench.empty()
    shutil.rmtree(folder)
    return [row for what, series in grains.items() for row in series.rows(what)]


@contextlib.contextmanager
def started(ways: Iterable[str], bench: Bench, kind: Kind, folder: Path) -> Iterator[dict[str, Driver]]:
    """New drivers, by their ways; they end with it."""
    with contextlib.ExitStack() as stack:
        drivers = {way: stack.enter_context(Driver(bench, way, kind, folder)) for way in ways}
        for driver in drivers.values():
            driver.ready()
        yield drivers


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
