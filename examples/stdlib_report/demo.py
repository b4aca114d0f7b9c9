"""The demo: the same batch in one process and through the queue on every core, and whether both say the same.

In its life it
 1. measures every file in this process, as a plain loop would;
 2. enqueues a job for each, and starts `tempotask-supervisor … --drain`, which works off all queues and ends;
 3. shows the jobs as they finish; with --chaos, a thread kills what works on them meanwhile;
 4. compares the checksums, and has `tempotask check` prove that nothing is left half-done.
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import psutil
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from examples.stdlib_report.app import Done, Report, Source, measure, queue_of, sources, tempotask
from tempotask import JobHandle, JobHandles, TempoTaskError, as_completed

APPLICATION = "examples.stdlib_report.app:tempotask"
BETWEEN_KILLS = 0.3
"""Seconds."""
SILENCE = 2.0
"""Seconds without a finished job after which the pool is looked at."""

console = Console()


class Pool:
    """The command `tempotask-supervisor`, as a process of its own; its log goes to a file."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.killed_workers = self.killed_trees = 0
        self._stopping = threading.Event()
        self._trouble: threading.Thread | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            command = Path(sys.executable).with_name("tempotask-supervisor")
            # Out of the terminal's foreground group: a Ctrl-C comes to the demo, which stops the pool in `stop`.
            self._process = subprocess.Popen(
                [command, APPLICATION, "--drain"], stdin=subprocess.DEVNULL, stderr=log, process_group=0
            )

    def make_trouble(self, half_way: threading.Event) -> None:
        """From now on, in a thread, kills a random worker every 0.3 s, and once, half way, everything."""
        self._trouble = threading.Thread(target=self._make_trouble, args=(half_way,), daemon=True)
        self._trouble.start()

    def _make_trouble(self, half_way: threading.Event) -> None:
        while not self._stopping.wait(BETWEEN_KILLS):
            if half_way.is_set() and not self.killed_trees:
                self.killed_trees += 1
                self._kill(self._tree())
                self._wait()
                self.start()
            elif workers := [each for each in self._tree() if _title(each).startswith("tempotask: worker")]:
                self._kill([random.choice(workers)])
                self.killed_workers += 1

    def ended(self) -> int | None:
        return None if self._process is None else self._process.poll()

    def wait(self) -> int:
        """Waits until the pool has drained the queues and ended; its exit status."""
        self._end_trouble()
        return self._wait()

    def stop(self) -> None:
        """Ends the pool, however far it is."""
        self._end_trouble()
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(40)
            except subprocess.TimeoutExpired:
                self._kill(self._tree())
                self._process.wait()

    def _end_trouble(self) -> None:
        self._stopping.set()
        if self._trouble is not None:
            self._trouble.join()

    def _wait(self) -> int:
        assert self._process is not None
        return self._process.wait()

    def _tree(self) -> list[psutil.Process]:
        assert self._process is not None
        try:
            top = psutil.Process(self._process.pid)
            return [top, *top.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def _kill(self, processes: Iterable[psutil.Process]) -> None:
        for process in processes:
            try:
                process.send_signal(signal.SIGKILL)
            except psutil.NoSuchProcess:
                continue


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def checksum(reports: Iterable[Report]) -> str:
    """The same for the same reports, in whatever order they came."""
    ordered = sorted(reports, key=lambda report: report.path)
    return hashlib.sha256(msgspec.msgpack.encode(ordered)).hexdigest()[:16]


@contextmanager
def progress(what: str, total: int) -> Iterator[tuple[Progress, TaskID]]:
    columns = (TextColumn("{task.description:<28}"), BarColumn(), MofNCompleteColumn(), TaskProgressColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console) as bar:
        yield bar, bar.add_task(what, total=total)


def in_one_process(files: list[Source]) -> tuple[list[Report], float]:
    """A plain loop: the reports and the seconds it took."""
    reports = []
    with progress("one process, a plain loop", len(files)) as (bar, line):
        began = time.monotonic()
        for file in files:
            reports.append(measure(file))
            bar.advance(line)
        return reports, time.monotonic() - began


def through_the_queue(files: list[Source], pool: Pool, chaos: bool) -> tuple[list[Done], float]:
    """The same through TempoTask: what the jobs returned, and seconds from the first `enqueue` to the last result."""
    began = time.monotonic()
    # A path is its job's id: what an interrupted demo left behind is not enqueued twice, but taken up again.
    handles: JobHandles[Done] = tempotask.enqueue_many(
        {"name": "report", "queue": queue_of(file), "data": file, "options": {"id": file.path}} for file in files
    )
    pool.start()
    half_way = threading.Event()
    if chaos:
        pool.make_trouble(half_way)
    done = []
    with progress("TempoTask, killed all the way" if chaos else "TempoTask, on every core", len(files)) as (bar, line):
        for handle in finished(handles, pool):
            done.append(handle.result())
            bar.advance(line)
            if len(done) * 2 > len(files):
                half_way.set()
    return done, time.monotonic() - began


def finished(handles: JobHandles[Done], pool: Pool) -> Iterator[JobHandle[Done]]:
    """The handles as their jobs finish; an error instead of a wait without end when the pool could not start."""
    left = {handle.id: handle for handle in handles}
    while left:
        before, over = len(left), pool.ended() is not None
        try:
            for handle in as_completed(left.values(), timeout=SILENCE):
                del left[handle.id]
                yield handle
        except TimeoutError:
            # When the pool had ended before these were asked for, nothing more can come.
            if over and len(left) == before and (status := pool.ended()) is not None:
                raise TempoTaskError(f"the supervisor has ended with status {status}, and jobs are left") from None


def show(done: list[Done], seconds: float, alone: float, sums: tuple[str, str], pool: Pool, chaos: bool) -> None:
    table = Table(show_header=False, title="the standard library, file by file", title_justify="left")
    table.add_row("jobs", f"{len(done):,} over 3 queues")
    table.add_row("wall time", f"{seconds:.2f} s, from the first enqueue on, start of the pool included")
    table.add_row("one process", f"{alone:.2f} s")
    table.add_row("speed-up", f"{alone / seconds:.2f} times, on {os.cpu_count()} cores")
    if chaos:
        table.add_row(
            "killed with -9", f"{pool.killed_workers} workers, and {pool.killed_trees} time the whole supervisor tree"
        )
    shares = collections.Counter(each.worker for each in done).most_common()
    for worker, jobs in shares[:8]:
        table.add_row(f"worker {worker}", f"{jobs:,} jobs, {jobs / len(done):.0%}")
    if len(shares) > 8:
        rest = sum(jobs for _, jobs in shares[8:])
        table.add_row(f"{len(shares) - 8} more workers", f"{rest:,} jobs, {rest / len(done):.0%}")
    worst = max((each.report for each in done), key=lambda report: report.complexity)
    table.add_row("most complex", f"{worst.path} ({worst.complexity})")
    table.add_row("checksum", f"{sums[0]}; one process: {sums[1]}")
    console.print(table)


def check() -> int:
    """Has the command prove the invariants of the whole namespace; its exit status."""
    command = [str(Path(sys.executable).with_name("tempotask")), "check", "--namespace", tempotask.namespace]
    told = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    console.print(f"tempotask check: {(told.stdout + told.stderr).strip()}", highlight=False, soft_wrap=True)
    return told.returncode


def demo(number: int | None, chaos: bool) -> int:
    """Runs all of it. Returns 0 when both ways gave the same result and nothing is left."""
    files = sources()
    if number is not None:
        files = files[:: max(1, len(files) // number)][:number]
    home = Path(".tempotask")
    home.mkdir(mode=0o700, exist_ok=True)
    pool = Pool(home / "demo.log")
    reports, alone = in_one_process(files)
    try:
        done, seconds = through_the_queue(files, pool, chaos)
        status = pool.wait()
    finally:
        pool.stop()
    sums = checksum(each.report for each in done), checksum(reports)
    show(done, seconds, alone, sums, pool, chaos)
    unsound = check()
    tempotask.close()
    if sums[0] != sums[1]:
        console.print("the checksums differ", style="red")
    if status:
        console.print(f"the supervisor ended with status {status}; see {pool.log}", style="red")
    return int(bool(sums[0] != sums[1] or status or unsound))


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__.partition("\n")[0])
    parser.add_argument("--chaos", action="store_true", help="kill a worker every 0.3 s, and once everything")
    parser.add_argument("--files", type=int, metavar="N", help="only so many files")
    arguments = parser.parse_args()
    if arguments.files is not None and arguments.files < 1:
        parser.error("--files wants a number of 1 or more")
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        return demo(arguments.files, arguments.chaos)
    except KeyboardInterrupt:
        return 130
    except TempoTaskError as error:
        console.print(f"scripts/demo: {error}; the pool's log is .tempotask/demo.log", style="red")
        return 1


if __name__ == "__main__":
    sys.exit(main())
