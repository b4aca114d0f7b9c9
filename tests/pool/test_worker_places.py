"""Workers on cores of their own (`--pin`) and behind other processes (`--nice`)."""

from __future__ import annotations

import collections
import os
import signal
import subprocess
import sys

import psutil
import pytest
from pool.running import APPS, LONG, Bench, Supervisor, wait_until

APP = "placed:tempotask"
CORES = sorted(os.sched_getaffinity(0))
OWN = os.getpriority(os.PRIO_PROCESS, 0)
ELSEWHERE = """
import os, sys
del os.sched_setaffinity
from tempotask.cli.supervisor import main
main()
"""
"""The command on a system that can't keep processes on cores."""

several = pytest.mark.skipif(len(CORES) < 2, reason="there is one core")


def start(bench: Bench, *options: str, workers: int, through: tuple[str, ...] = ()) -> Supervisor:
    supervisor = bench.begin(*options, app=APP, workers=workers, through=through)
    supervisor.wait_for("ready: ")
    return supervisor


def places(supervisor: Supervisor) -> list[list[int]]:
    return sorted(worker.cpu_affinity() for worker in supervisor.workers())


def each_has_its_own(supervisor: Supervisor, workers: int) -> bool:
    return places(supervisor) == [[core] for core in CORES[:workers]]


def refused(bench: Bench, *options: str, through: tuple[str, ...] = ()) -> str:
    """What a supervisor says that can't start."""
    ended = subprocess.run(
        [*through, sys.executable, "-m", "tempotask.cli.supervisor", APP, "--db", bench.url, *options],
        cwd=APPS, capture_output=True, text=True, timeout=LONG, check=False,
    )  # fmt: skip
    assert ended.returncode == 2, ended.stderr
    return ended.stderr


@several
def test_each_worker_is_kept_on_a_core_of_its_own_and_nobody_else_is(bench: Bench) -> None:
    supervisor = start(bench, "--pin", workers=2)
    assert each_has_its_own(supervisor, 2)
    for process in (psutil.Process(supervisor.process.pid), supervisor.nursery()):
        assert process.cpu_affinity() == CORES
    assert supervisor.stop() == 0


def test_what_a_job_starts_runs_where_the_job_does(bench: Bench) -> None:
    niceness = min(19, OWN + 3)
    supervisor = start(bench, "--pin", "--nice", str(niceness), workers=1)
    told = bench.manager.enqueue(name="tell", queue="q").result(LONG)
    assert told == [f"[{CORES[0]}] {niceness}"] * 3
    assert supervisor.stop() == 0


@several
def test_a_worker_that_replaces_a_dead_one_takes_its_core(bench: Bench) -> None:
    supervisor = start(bench, "--pin", workers=2)
    for core in CORES[:2]:
        (dies,) = [worker for worker in supervisor.workers() if worker.cpu_affinity() == [core]]
        dies.kill()
        supervisor.wait_for("was killed by SIGKILL")
        wait_until(lambda: each_has_its_own(supervisor, 2), "its core is not taken")
    assert supervisor.stop() == 0


@several
def test_changed_code_is_spread_over_the_cores_as_the_old_was(bench: Bench) -> None:
    supervisor = start(bench, "--pin", workers=2)
    before = {worker.pid for worker in supervisor.workers()}
    supervisor.signal(signal.SIGHUP)
    supervisor.wait_for("the changed code is at work")
    wait_until(lambda: before.isdisjoint(worker.pid for worker in supervisor.workers()), "the old ones stay")
    assert each_has_its_own(supervisor, 2)
    assert supervisor.stop() == 0


def test_more_workers_than_cores_share_them_evenly_and_the_log_says_so(bench: Bench) -> None:
    workers = 2 * len(CORES)
    supervisor = start(bench, "--pin", workers=workers)
    assert collections.Counter(map(tuple, places(supervisor))) == {(core,): 2 for core in CORES}
    (line,) = supervisor.about(f"{workers} workers are kept on ")
    assert f", 2 on each: give --concurrency {len(CORES)} " in line
    assert supervisor.stop() == 0


@several
def test_cores_that_the_supervisor_may_not_use_are_left_alone(bench: Bench) -> None:
    supervisor = start(bench, "--pin", workers=2, through=("taskset", "-c", str(CORES[-1])))
    assert places(supervisor) == [[CORES[-1]]] * 2
    assert supervisor.stop() == 0


def test_workers_stand_back_behind_the_supervisor(bench: Bench) -> None:
    niceness = min(19, OWN + 3)
    supervisor = start(bench, "--nice", str(niceness), workers=2)
    assert [(worker.nice(), worker.cpu_affinity()) for worker in supervisor.workers()] == [(niceness, CORES)] * 2
    for process in (psutil.Process(supervisor.process.pid), supervisor.nursery()):
        assert process.nice() == OWN
    assert supervisor.stop() == 0


def test_workers_that_nobody_places_stay_as_the_supervisor_is(bench: Bench) -> None:
    supervisor = start(bench, workers=2)
    assert [(worker.nice(), worker.cpu_affinity()) for worker in supervisor.workers()] == [(OWN, CORES)] * 2
    assert supervisor.stop() == 0


def test_workers_can_not_be_put_before_the_supervisor(bench: Bench) -> None:
    said = refused(bench, "--nice", "0", through=("nice", "-n", "6"))
    assert said.count("\n") == 1
    assert f"runs at niceness {min(19, OWN + 6)}: give {min(19, OWN + 6)} to 19" in said


@pytest.mark.parametrize("niceness", ["-1", "20", "very"])
def test_what_is_no_niceness_is_refused(bench: Bench, niceness: str) -> None:
    assert "'--nice'" in refused(bench, "--nice", niceness)
