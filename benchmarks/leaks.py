"""Does anything grow with the number of jobs, or of workers that were replaced?

Each part works in rounds. After each, when nothing is left to do, everything that could grow is looked at: memory,
descriptors, threads, shared memory and zombies of the processes, keys and memory of the server. The slope over the
rounds, by least squares, is told for the whole run with its standard error.

Memory is the anonymous memory that a process holds, shared with its forks or not: what it has made itself. USS would
move with the number of forks that are alive, RSS with what the kernel keeps of files.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.harness import ROOT, Bench, Failed, Project, Supervisor, until
from benchmarks.rows import Row, Spread, number
from tempotask import JobFailed, linux

KIB = 1 << 10
MOST = {
    # Python takes memory for small objects by the MiB: one such piece more or less is no growth. And 1,000,000 jobs
    # may not cost one byte each, 2,000 deaths not 512.
    "KiB": 1024.0,
    # A leak would be one for each job or death.
    "": 1.0,
}
"""What a quantity of this unit may grow over the whole run, beyond its noise."""
REPLACED_BY_KILL, REPLACED_BY_EXIT, REPLACED_BY_RECYCLING = 17, 17, 16
"""Of 50 workers that are replaced."""
JOBS_OF_A_WORKER = 50
WARMING_UP = 0.25
"""What part of the rounds is done before those that count: caches fill, pools grow to their size."""


class Slope(Spread):
    """How much a quantity grows over the whole run, and the standard error of that."""

    def __init__(self, xs: list[float], ys: list[float], over: float, unit: str) -> None:
        count, mean_x, mean_y = len(xs), sum(xs) / len(xs), sum(ys) / len(ys)
        spread = sum((x - mean_x) ** 2 for x in xs)
        slope = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / spread
        rest = sum((y - mean_y - slope * (x - mean_x)) ** 2 for x, y in zip(xs, ys, strict=True))
        self.growth = slope * over
        self.error = (rest / (count - 2) / spread) ** 0.5 * over
        self.held = ys[-1]
        super().__init__([self.growth], unit)

    @property
    def beyond_noise(self) -> float:
        """The growth, where it is more than three standard errors: else there is none."""
        return self.growth if self.growth > 3 * self.error else 0.0

    def __str__(self) -> str:
        return f"{self.growth:+.3g} ±{self.error:.2g} {self.unit}".rstrip() + f" (holds {number(self.held)})"


def anonymous(pid: int) -> float:
    """KiB of memory that belong to no file."""
    status = Path(f"/proc/{pid}/status").read_text()
    return float(status.partition("RssAnon:")[2].split()[0])


def descriptors(pid: int) -> list[str]:
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.append(os.readlink(entry))
    return found


def shared(pid: int) -> int:
    """Descriptors and mappings of shared memory."""
    mapped = Path(f"/proc/{pid}/maps").read_text().split("\n")
    return sum("/memfd:" in each or "/dev/shm/" in each for each in [*descriptors(pid), *mapped])


@dataclass
class Samples:
    """What was seen of everything, round by round. `over` is the whole run, in the unit of the rounds."""

    over: float
    done: list[float] = field(default_factory=list)
    seen: dict[tuple[str, str], list[float]] = field(default_factory=dict)

    def note(self, what: str, unit: str, value: float) -> None:
        self.seen.setdefault((what, unit), []).append(value)

    def note_process(self, name: str, pid: int) -> None:
        process = psutil.Process(pid)
        self.note(f"{name}: memory", "KiB", anonymous(pid))
        self.note(f"{name}: descriptors", "", len(descriptors(pid)))
        self.note(f"{name}: threads", "", process.num_threads())
        self.note(f"{name}: shared memory", "", shared(pid))

    def note_pool(self, supervisor: Supervisor) -> None:
        """Supervisor, nursery, and who should be gone."""
        self.note_process("supervisor", supervisor.pid)
        (nursery,) = (child.pid for child in supervisor.tree()[0].children() if linux.state(child.pid) not in ("", "Z"))
        self.note_process("nursery", nursery)
        # One that is just ending may be gone since it was seen.
        states = [state for each in supervisor.tree() if (state := linux.state(each.pid))]
        self.note("processes of the pool", "", len(states))
        self.note("zombies of the pool", "", states.count("Z"))

    def note_keys(self, project: Project) -> None:
        """Those that expire, of calls say, come and go by the second: how many there are tells the pace."""
        keys: dict[str, dict[str, int]] = project.redis.info("keyspace")
        told = keys.get("db0", {"keys": 0, "expires": 0})
        self.note("server: keys that stay", "", told["keys"] - told["expires"])

    def note_server(self, project: Project) -> None:
        told = project.redis.info()
        self.note("server: memory of its data", "KiB", told["used_memory"] / KIB)
        self.note("server: memory of its process", "KiB", anonymous(told["process_id"]))
        self.note("server: connections", "", told["connected_clients"])
        self.note_keys(project)

    def rows(self, cause: str) -> list[Row]:
        rows = []
        for (what, unit), values in self.seen.items():
            slope = Slope(self.done, values, self.over, unit)
            rows.append(Row(f"{cause}: {what}", slope, slope.beyond_noise, MOST[unit], 0, False, unit=unit))
        return rows


def rounds_of(count: int, each: int, do: Callable[[int], None], look: Callable[[], None], samples: Samples) -> None:
    """Rounds of `each`, `count` in all, and some before them that are not looked at."""
    for _ in range(int(count / each * WARMING_UP)):
        do(each)
    for round in range(count // each):
        do(each)
        samples.done.append(float((round + 1) * each))
        look()


def by_jobs(bench: Bench) -> list[Row]:
    count = bench.size(1_000_000, 200_000)
    samples = Samples(count)
    with bench.project("mortal") as project:
        supervisor = project.supervisor().ready()
        workers = supervisor.workers()

        def do(each: int) -> None:
            project.producer.enqueue_many({"name": "noop", "queue": "work", "data": n} for n in range(each))
            project.all_settled()

        def look() -> None:
            project.wait_idle()
            samples.note_pool(supervisor)
            samples.note_server(project)
            for place, worker in enumerate(workers, 1):
                samples.note_process(f"worker {place}", worker.pid)

        rounds_of(count, count // 40, do, look, samples)
    return samples.rows(f"{count:,} jobs")


def replaced(project: Project) -> int:
    """How many workers there have been: they are numbered."""
    names = project.redis.hkeys(project.key("workers"))
    return max(int(name.decode().rpartition(".")[2]) for name in names if isinstance(name, bytes))


def replace(project: Project) -> None:
    """Has 50 workers replaced, and waits until the last of their successors is idle."""
    producer = project.producer
    for _ in range(REPLACED_BY_KILL):
        handle = producer.enqueue(name="stay", queue="work")
        mark = project.folder / handle.id
        until("the job's start", mark.exists)
        os.kill(int(mark.read_text()), signal.SIGKILL)
        handle.result(timeout=60)
        mark.unlink()
    for handle in producer.enqueue_many({"name": "leave", "queue": "work"} for _ in range(REPLACED_BY_EXIT)):
        with contextlib.suppress(JobFailed):
            handle.result(timeout=60)
            raise Failed("a job that ends its process has not failed")
    jobs = REPLACED_BY_RECYCLING * JOBS_OF_A_WORKER
    producer.enqueue_many({"name": "noop", "queue": "work", "data": n} for n in range(jobs))
    project.all_settled()
    project.wait_idle()


def by_deaths(bench: Bench) -> list[Row]:
    count = bench.size(2000, 200)
    each = REPLACED_BY_KILL + REPLACED_BY_EXIT + REPLACED_BY_RECYCLING
    with bench.project("mortal", BENCHMARK_JOBS=str(JOBS_OF_A_WORKER)) as project:
        supervisor = project.supervisor().ready()
        for _ in range(max(1, int(count / each * WARMING_UP))):
            replace(project)
        first = replaced(project)
        samples = Samples(count)
        while not samples.done or samples.done[-1] < count:
            replace(project)
            until("the dead to be gone", lambda: len(supervisor.workers()) == 2)
            samples.done.append(float(replaced(project) - first))
            samples.note_pool(supervisor)
            samples.note_server(project)
    return samples.rows(f"{number(samples.done[-1])} workers replaced")


@contextlib.contextmanager
def client(project: Project, kind: str, size: int) -> Iterator[tuple[Callable[[], None], int]]:
    """A client process, and what has it do one round."""
    arguments = (kind, project.bench.url, project.namespace, str(size))
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.apps.client", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        orders, answers = process.stdin, process.stdout

        def do() -> None:
            orders.write("go\n")
            orders.flush()
            if answers.readline() != "done\n":
                raise Failed(f"the client that does {kind} has ended")

        yield do, process.pid


def by_client(bench: Bench, kind: str, count: int, said: str) -> list[Row]:
    samples = Samples(count)
    # A round's results are kept until its client has read them: the oldest go by the sixteenth part of this.
    with bench.project("mortal", BENCHMARK_RESULTS=str(count // 20)) as project:
        project.supervisor().ready()
        with client(project, kind, count // 40) as (do, pid):

            def look() -> None:
                samples.note_process("the client", pid)
                samples.note("server: connections", "", project.redis.info("clients")["connected_clients"])
                samples.note_keys(project)

            rounds_of(count, count // 40, lambda each: do(), look, samples)
    return samples.rows(f"{count:,} {said}")


def measure(bench: Bench) -> list[Row]:
    count = bench.size(1_000_000, 100_000)
    return [
        *by_jobs(bench),
        *by_deaths(bench),
        *by_client(bench, "results", count, "results read"),
        *by_client(bench, "events", count, "events heard"),
        *by_client(bench, "managers", bench.size(2000, 200), "managers opened and closed"),
    ]
