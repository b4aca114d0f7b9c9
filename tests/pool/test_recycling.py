"""Recycling: workers that have run their jobs, or hold too much memory, are replaced without anything being lost."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from itertools import pairwise
from typing import Any

import psutil
import pytest
from pool.running import LONG, Bench, Supervisor, wait_until
from pool.watched import Watched
from store import play

from tempotask import JobHandle, QueueManager, WorkerCrashed
from tempotask.options import Options
from tempotask.pool.control_block import BUSY, HELD, JOBS, STARTED, STATE, STOP, STOP_SIGNAL, ControlBlock
from tempotask.pool.deaths import Cause
from tempotask.pool.recycling import Recycling
from tempotask.pool.report import WorkerSpec
from tempotask.pool.worker import Stopping, Worker

APP = "ending:tempotask"
MIB = 1 << 20


def start(bench: Bench, patch: pytest.MonkeyPatch, workers: int = 2, **options: Any) -> Supervisor:
    patch.setenv("TEST_OPTIONS", json.dumps(options))
    return bench.start(app=APP, workers=workers)


def memory_of_a_worker(bench: Bench, patch: pytest.MonkeyPatch) -> int:
    """Bytes that a worker of this application holds before it has done anything."""
    supervisor = start(bench, patch, workers=1)
    (worker,) = supervisor.workers()
    held = int(worker.memory_info().rss)
    assert supervisor.stop() == 0
    return held


@pytest.mark.parametrize("most", [1, 7])
def test_a_worker_runs_exactly_as_many_jobs_as_it_may(bench: Bench, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    supervisor = start(bench, monkeypatch, workers=2, max_jobs_per_worker=most)
    number = 20 * most
    pids = bench.manager.enqueue_many({"name": "who", "queue": "q"} for _ in range(number)).results(timeout=LONG)
    ran = Counter(pids)
    assert max(ran.values()) <= most
    assert len(ran) >= 20
    assert supervisor.stop() == 0
    assert not supervisor.about("SIGKILL")


def test_a_worker_that_waits_for_its_last_jobs_does_not_stay_beside_its_successor(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor = start(bench, monkeypatch, workers=1, max_jobs_per_worker=50)
    (first,) = supervisor.workers()
    jobs = ({"name": "when", "queue": "q", "data": 0.001} for _ in range(48))
    bench.manager.enqueue_many(jobs).results(timeout=LONG)
    wait_until(lambda: supervisor.workers() and first not in supervisor.workers(), "it stays")
    assert len(supervisor.workers()) == 1
    bench.manager.enqueue(name="when", queue="q", data=0).result(timeout=LONG)
    assert supervisor.stop() == 0
    assert not supervisor.about("SIGKILL")


def test_a_pool_of_one_worker_goes_on_when_it_is_replaced(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    supervisor = start(bench, monkeypatch, workers=1, max_jobs_per_worker=50)
    (first,) = supervisor.workers()
    jobs = ({"name": "when", "queue": "q", "data": 0.001} for _ in range(1000))
    ran = sorted(bench.manager.enqueue_many(jobs).results(timeout=LONG))
    by_worker = Counter(pid for _, pid in ran)
    assert by_worker[first.pid] == 50, "it runs all that it may"
    assert max(by_worker.values()) == 50
    assert max(after[0] - before[0] for before, after in pairwise(ran)) < LONG / 2, (
        "it stood still for longer than a fork takes"
    )
    assert supervisor.stop() == 0


def test_a_spent_worker_that_is_told_to_end_again_and_again_ends_once(server_url: str, namespace: str) -> None:
    manager = QueueManager.init(db=server_url, namespace=namespace)
    play.hire(manager._client.store, "w")
    block = ControlBlock.create()
    worker = Worker(manager, WorkerSpec("w", "s", server_url, namespace), block)
    # Before it looks: it is told for the first time while it settles what is left.
    block.words[STOP] = 1
    with pytest.raises(Stopping):
        worker._end_spent()
    worker._on_stop(STOP_SIGNAL, None)
    manager.close()


def test_a_worker_that_has_run_more_than_it_may_asks_for_nothing(server_url: str, namespace: str) -> None:
    """As when a server came back with an older state, and delivered again what it had run."""
    block = ControlBlock.create()
    with QueueManager.init(db=server_url, namespace=namespace, options={"max_jobs_per_worker": 5}) as manager:
        worker = Worker(manager, WorkerSpec("w", "s", server_url, namespace), block)
        block.words[JOBS] = 4
        assert worker._want() == 1
        block.words[JOBS] = 7
        assert worker._want() == 0


def test_a_drain_ends_though_workers_are_spent(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_OPTIONS", '{"max_jobs_per_worker": 5}')
    handles = bench.manager.enqueue_many({"name": "who", "queue": "q"} for _ in range(40))
    supervisor = bench.begin("--drain", app=APP, workers=2)
    assert supervisor.end() == 0
    assert {handle.status() for handle in handles} == {"completed"}


def test_a_worker_that_holds_too_much_ends_after_its_job_and_nobody_is_blamed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = memory_of_a_worker(bench, monkeypatch)
    supervisor = start(bench, monkeypatch, workers=1, max_memory=before + 100 * MIB)
    handle = bench.manager.enqueue(name="hoard", queue="q", data=150, options={"max_crashes": 1})
    pid = handle.result(timeout=LONG)
    wait_until(lambda: not psutil.pid_exists(pid), "it was not replaced")
    assert bench.manager.enqueue(name="who", queue="q").result(timeout=LONG) != pid
    assert supervisor.stop() == 0
    assert "more than max_memory" in supervisor.log
    assert not supervisor.about("SIGKILL")


def test_a_worker_that_grows_while_its_job_runs_is_replaced_before_that_has_ended(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The successor works beside it; what waited behind the job is given back."""
    before = memory_of_a_worker(bench, monkeypatch)
    supervisor = start(bench, monkeypatch, workers=1, max_memory=before + 200 * MIB)
    long = bench.manager.enqueue(name="gorge", queue="q", data=250)
    _, _, pid = bench.hear()
    assert bench.manager.enqueue(name="who", queue="q").result(timeout=LONG) != int(pid)
    assert long.status() == "processing"
    assert supervisor.halt() == 1


def test_at_twice_its_memory_a_worker_is_killed_and_its_job_blamed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when a single call in C takes it."""
    before = memory_of_a_worker(bench, monkeypatch)
    supervisor = start(bench, monkeypatch, workers=1, max_memory=before + 20 * MIB)
    size = before // MIB + 200
    handle: JobHandle[None] = bench.manager.enqueue(name="gorge", queue="q", data=size, options={"max_crashes": 2})
    others = bench.manager.enqueue_many({"name": "echo", "queue": "q", "data": n} for n in range(10))
    with pytest.raises(WorkerCrashed) as failed:
        handle.result(timeout=LONG)
    assert "memory" in failed.value.message
    assert "max_memory" in failed.value.message
    assert others.results(timeout=LONG) == list(range(10))
    assert [bench.hear()[1] for _ in range(2)] == [handle.id] * 2
    assert bench.hear_no_more()
    assert supervisor.stop() == 0
    assert len(supervisor.about("twice max_memory")) == 2


def test_the_job_behind_one_that_left_a_worker_twice_too_large_is_not_blamed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it came in the same batch or in one of its own."""
    before = memory_of_a_worker(bench, monkeypatch)
    supervisor = start(bench, monkeypatch, workers=1, max_memory=before + 20 * MIB)
    hoard = {"name": "hoard", "queue": "q", "data": before // MIB + 100}
    for _ in range(3):
        # The first one must have ended when the supervisor looks.
        supervisor.signal(signal.SIGSTOP)
        left, innocent = bench.manager.enqueue_many([hoard, {"name": "follow", "queue": "q"}])
        hog = left.result(timeout=LONG)
        assert bench.hear() == ["hoards", left.id, str(hog)]
        assert bench.hear() == ["follows", innocent.id, str(hog)]
        supervisor.signal(signal.SIGCONT)
        assert "runs again, unmarked" in supervisor.wait_for(innocent.id)
        assert bench.hear() == ["follows", innocent.id, str(innocent.result(timeout=LONG))]
    assert supervisor.stop() == 0


@pytest.mark.parametrize(
    ("held", "running", "weights", "blamed"),
    [
        pytest.param(10, 1, [(150, 1), (250, 1), (250, 1)], True, id="it has grown while it ran"),
        pytest.param(10, 0, [(250, 0), (250, 0)], True, id="it was small when its batch began with it"),
        pytest.param(250, 0, [(250, 0), (250, 0)], False, id="it was large before its batch began"),
        pytest.param(10, 0, [(150, 1), (250, 1), (250, 1)], False, id="the one before it may have left that"),
        pytest.param(10, 0, [(250, 1), (250, 1)], False, id="the one that was weighed has just ended"),
    ],
)
def test_a_job_is_blamed_for_the_memory_of_its_worker_only_if_it_took_it(
    watched: Watched, held: int, running: int, weights: list[tuple[int, int]], blamed: bool
) -> None:
    """`weights` are what each look at its memory finds (MiB), and the index of the job that runs from then on."""

    def weigh(pid: int) -> int:
        weight, watched.block.words[STARTED] = weights.pop(0)
        return weight * MIB

    watched.take(4, 5, running)
    watched.block.words[STATE], watched.block.words[HELD] = BUSY, held * MIB
    recycling, now = Recycling(Options(max_memory=100 * MIB), weigh), time.monotonic()
    watched.watch.tick(now)
    while weights:
        recycling.tick([watched.watch], True, now := now + 1)
    assert watched.ends
    assert watched.watch.death("").cause is (Cause.MEMORY if blamed else Cause.STOP)


def test_a_worker_is_let_live_when_what_it_held_went_with_the_job_that_took_it(watched: Watched) -> None:
    weights = [250, 50]
    watched.take(4, 5, 1)
    watched.block.words[STATE] = BUSY
    watched.watch.tick(time.monotonic())
    Recycling(Options(max_memory=100 * MIB), lambda pid: weights.pop(0) * MIB).tick(
        [watched.watch], True, time.monotonic()
    )
    assert not weights
    assert watched.lives


def test_a_limit_below_what_a_worker_needs_for_itself_is_told_and_not_kept(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor = start(bench, monkeypatch, workers=1, max_memory="1MiB")
    (worker,) = supervisor.workers()
    for _ in range(3):
        assert bench.manager.enqueue(name="who", queue="q").result(timeout=LONG) == worker.pid
    assert supervisor.stop() == 0
    (line,) = supervisor.about("max_memory")
    assert "raise it" in line
