"""Steal-back, early settling and time limits, in real workers."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest
from pool.running import LONG, Bench, wait_until

from tempotask import JobHandle, JobTimeout


def overrun(bench: Bench, how: str, **options: float) -> JobHandle[str]:
    limits = {"timeout": 0.3, "kill_after": 20.0, **options}
    handle = bench.manager.enqueue(name="overrun", queue="q", data=how, options=limits)
    assert bench.hear()[:2] == ["runs", handle.id]
    return handle


def test_a_long_job_does_not_keep_others_that_came_with_it(bench: Bench) -> None:
    """Learnt to be short, all come in large batches; one of them holds its worker up."""
    bench.start(workers=2)
    bench.manager.enqueue_many({"name": "echo", "queue": "q", "data": n} for n in range(2000)).results(timeout=LONG)
    names = ["echo"] * 100 + ["hold"] + ["echo"] * 400
    handles = bench.manager.enqueue_many({"name": name, "queue": "q", "data": "x"} for name in names)
    assert bench.hear()[:2] == ["holds", handles[100].id]
    others = [handle for handle in handles if handle is not handles[100]]
    for handle in others:
        assert handle.result(timeout=LONG) == "x"
    assert handles[100].status() == "processing"
    bench.open_gate()
    assert handles[100].result(timeout=LONG) == 1


def test_with_one_worker_what_was_finished_before_a_long_job_is_settled_while_it_runs(bench: Bench) -> None:
    jobs = [{"name": name, "queue": "q", "data": "x"} for name in (*["echo"] * 3, "hold", *["echo"] * 20)]
    bench.start(workers=1)
    bench.manager.enqueue_many({"name": "echo", "queue": "q"} for _ in range(500)).results(timeout=LONG)
    handles = bench.manager.enqueue_many(jobs)
    assert bench.hear()[:2] == ["holds", handles[3].id]
    assert [handle.result(timeout=LONG) for handle in handles[:3]] == ["x"] * 3
    assert handles[3].status() == "processing"
    wait_until(lambda: {handle.status() for handle in handles[4:]} == {"waiting"}, "what had not started is kept")
    bench.open_gate()
    assert handles.results(timeout=LONG) == ["x"] * 3 + [1] + ["x"] * 20


def switches(worker: psutil.Process) -> int:
    """How often the worker's second thread, which settles early, has gone to sleep again so far."""
    (other,) = (thread.id for thread in worker.threads() if thread.id != worker.pid)
    status = Path(f"/proc/{worker.pid}/task/{other}/status").read_text()
    return int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])


def test_while_jobs_are_short_the_thread_that_settles_early_sleeps(bench: Bench) -> None:
    supervisor = bench.start(workers=1)
    (worker,) = supervisor.workers()
    naps = [{"name": "nap", "queue": "q", "data": 0.01}] * 200
    bench.manager.enqueue_many(naps[:10]).results(timeout=LONG)
    before = switches(worker)
    bench.manager.enqueue_many(naps).results(timeout=LONG)
    # Were it to look every 50 ms, some 40. A busy machine makes one or another of them long.
    assert switches(worker) - before < 20


def test_while_a_job_holds_the_interpreter_its_neighbours_are_stolen_all_the_same(bench: Bench) -> None:
    supervisor = bench.start(workers=2)
    bench.manager.enqueue_many({"name": "echo", "queue": "q", "data": n} for n in range(2000)).results(timeout=LONG)
    names = ["regex", *["echo"] * 300]
    handles = bench.manager.enqueue_many({"name": name, "queue": "q", "data": "x"} for name in names)
    _, _, pid = bench.hear()
    for handle in handles[1:]:
        assert handle.result(timeout=LONG) == "x"
    assert handles[0].status() == "processing"
    assert supervisor.halt() == 1
    assert not psutil.pid_exists(int(pid))
    assert handles[0].status() == "waiting"


@pytest.mark.parametrize("how", ["sleep", "loop", "read"])
def test_a_time_limit_is_raised_in_the_handler_which_may_clean_up(bench: Bench, how: str) -> None:
    supervisor = bench.start(workers=1)
    (before,) = supervisor.workers()
    handle = overrun(bench, how)
    with pytest.raises(JobTimeout) as failed:
        handle.result(timeout=LONG)
    assert failed.value.type == "JobTimeout"
    assert "overrun" in failed.value.traceback
    if how == "sleep":
        assert bench.hear() == ["cleaned"]
    assert bench.manager.enqueue(name="say", queue="q", data="x").result(timeout=LONG) == before.pid
    assert supervisor.stop() == 0


@pytest.mark.parametrize("how", ["stubborn", "C"])
def test_a_handler_that_does_not_end_is_killed_and_only_its_try_has_failed(bench: Bench, how: str) -> None:
    supervisor = bench.start(workers=1)
    handle = overrun(bench, how, kill_after=0.2, max_crashes=1)
    others = bench.manager.enqueue_many({"name": "echo", "queue": "q", "data": n} for n in range(10))
    with pytest.raises(JobTimeout) as failed:
        handle.result(timeout=LONG)
    assert "SIGKILL" in failed.value.message
    assert others.results(timeout=LONG) == list(range(10))
    assert supervisor.stop() == 0
    (death,) = supervisor.about("SIGKILL")
    assert handle.id in death
    assert "failed as JobTimeout" in death


def test_a_time_out_uses_up_one_try(bench: Bench) -> None:
    bench.start(workers=1)
    handle = overrun(bench, "C", kill_after=0.1, attempts=2)
    assert bench.hear()[:2] == ["runs", handle.id]
    with pytest.raises(JobTimeout):
        handle.result(timeout=LONG)
    assert handle.info().tries == 2


def test_what_a_handler_started_and_left_behind_ends_with_its_time(bench: Bench) -> None:
    supervisor = bench.start(workers=1)
    handle = overrun(bench, "child", kill_after=5.0)
    _, child = bench.hear()
    with pytest.raises(JobTimeout):
        handle.result(timeout=LONG)
    wait_until(lambda: not psutil.pid_exists(int(child)), "its child lives on")
    assert bench.manager.enqueue(name="echo", queue="q", data=1).result(timeout=LONG) == 1
    assert supervisor.stop() == 0


def test_a_coroutine_whose_time_is_over_is_cancelled(bench: Bench) -> None:
    supervisor = bench.start(workers=1)
    (before,) = supervisor.workers()
    options = {"timeout": 0.3, "kill_after": 20}
    handle = bench.manager.enqueue(name="anap", queue="q", data=600, options=options)
    with pytest.raises(JobTimeout) as failed:
        handle.result(timeout=LONG)
    assert failed.value.type == "JobTimeout"
    assert bench.hear() == ["cancelled", handle.id]
    assert bench.manager.enqueue(name="say", queue="q", data="x").result(timeout=LONG) == before.pid


def test_neighbours_of_a_job_whose_time_is_over_run_as_if_nothing_had_been(bench: Bench) -> None:
    """In batches with others that have a time limit and keep it."""
    supervisor = bench.start(workers=2)
    short = {"timeout": 30, "max_crashes": 1}
    jobs = [{"name": "echo", "queue": "q", "data": n, "options": short} for n in range(300)]
    for place in (20, 150, 280):
        over = {"timeout": 0.1, "kill_after": 0.1, "max_crashes": 1}
        jobs[place] = {"name": "overrun", "queue": "q", "data": "C", "options": over}
    handles = bench.manager.enqueue_many(jobs)
    for n, handle in enumerate(handles):
        if n in (20, 150, 280):
            with pytest.raises(JobTimeout):
                handle.result(timeout=LONG)
        else:
            assert handle.result(timeout=LONG) == n
    assert supervisor.stop() == 0
    assert len(supervisor.about("SIGKILL")) == 3


def test_what_was_finished_before_a_job_that_is_killed_for_its_time_is_settled_first(bench: Bench) -> None:
    """Though it is killed sooner than what was finished before a long job is settled otherwise."""
    bench.start(workers=1)
    bench.manager.enqueue_many({"name": "echo", "queue": "q"} for _ in range(500)).results(timeout=LONG)

    def all_ran_once() -> bool:
        jobs: list[dict[str, Any]] = [{"name": "enter", "queue": "q", "data": 0.0} for _ in range(20)]
        over = {"timeout": 0.01, "kill_after": 0.0}
        jobs.insert(5, {"name": "overrun", "queue": "q", "data": "stubborn", "options": over})
        handles = bench.manager.enqueue_many(jobs)
        with pytest.raises(JobTimeout):
            handles[5].result(timeout=LONG)
        others = {handle.id: handle.result(timeout=LONG) for handle in handles if handle is not handles[5]}
        starts = Counter(id for id, what, *_ in bench.entries() if what == "start" and id in others)
        assert starts.keys() == others.keys()
        return set(starts.values()) == {1}

    # A busy machine may not let them be settled in the time that there is.
    assert any(all_ran_once() for _ in range(10))


def test_a_time_limit_never_hits_the_job_that_comes_after(bench: Bench) -> None:
    """Jobs that end just when their time is over, each before one that has no limit."""
    supervisor = bench.start(workers=2)
    over = {"timeout": 0.02, "kill_after": 20}
    jobs = []
    for n in range(60):
        # Every tenth is over it for certain.
        seconds = 0.2 if n % 10 == 9 else 0.0195 + n % 10 / 10_000
        jobs.append({"name": "nap", "queue": "q", "data": seconds, "options": over})
        jobs.append({"name": "nap", "queue": "q", "data": 0.03})
    handles = bench.manager.enqueue_many(jobs)
    workers = {worker.pid for worker in supervisor.workers()}
    assert {handle.result(timeout=LONG) for handle in handles[1::2]} <= workers
    for handle in handles[18::20]:
        with pytest.raises(JobTimeout):
            handle.result(timeout=LONG)
    failed = [handle.info().error for handle in handles[::2] if handle.status() == "failed"]
    assert all("JobTimeout" in str(error) for error in failed)
    assert {worker.pid for worker in supervisor.workers()} == workers
    assert supervisor.stop() == 0
