"""Handlers that do what no handler should: only their own jobs pay for it."""

from __future__ import annotations

import time

import pytest
from pool.running import APPS, LONG, Bench

from tempotask import JobFailed, JobNotFound, JobTimeout, WorkerCrashed
from tempotask.store.check import check


def start(bench: Bench, workers: int = 1) -> None:
    bench.start(app="hostile:tempotask", folder=APPS, workers=workers)


def ask(bench: Bench, name: str, data: object = None, **options: object) -> object:
    return bench.manager.enqueue(name=name, queue="q", data=data, options=options).result(timeout=LONG)


@pytest.mark.parametrize(("how", "code"), [("exit", 3), ("return", 0)])
def test_a_child_that_a_handler_forks_is_no_worker_however_it_leaves(bench: Bench, how: str, code: int) -> None:
    start(bench)
    ended, worker = ask(bench, "forks", how)  # type: ignore[misc]
    assert ended == code
    assert {ask(bench, "pid") for _ in range(20)} == {worker}
    assert bench.supervisors[0].stop() == 0


def test_an_exception_whose_text_can_not_be_made_fails_its_job(bench: Bench) -> None:
    start(bench)
    with pytest.raises(JobFailed, match="EvilError: evil"):
        ask(bench, "evil")
    assert bench.supervisors[0].stop() == 0


def test_what_a_coroutine_leaves_in_the_loop_ends_with_its_job(bench: Bench) -> None:
    start(bench)
    ask(bench, "leaves_behind")
    assert ask(bench, "sleeps", 0.2) == "slept"
    assert bench.supervisors[0].stop() == 0


def test_time_limits_of_coroutines_hit_no_other_job(bench: Bench) -> None:
    start(bench)
    for _ in range(50):
        hurried = bench.manager.enqueue(name="hurries", queue="q")
        assert ask(bench, "sleeps", 0.0) == "slept"
        with pytest.raises(JobTimeout):
            hurried.result(timeout=LONG)
    assert bench.supervisors[0].stop() == 0


def test_a_worker_that_was_made_deaf_to_signals_still_stops_soon(bench: Bench) -> None:
    start(bench)
    ask(bench, "deafens")
    began = time.monotonic()
    bench.supervisors[0].stop()
    assert time.monotonic() - began < 15  # the grace is 30


def test_a_job_that_kills_its_nursery_again_and_again_fails_and_its_neighbours_do_not(bench: Bench) -> None:
    start(bench, workers=2)
    killer = bench.manager.enqueue(name="kills_its_parent", queue="q", options={"max_crashes": 1})
    others = bench.manager.enqueue_many({"name": "pid", "queue": "q"} for _ in range(20))
    with pytest.raises(WorkerCrashed):
        killer.result(timeout=LONG)
    assert len(others.results(timeout=LONG)) == 20
    assert bench.supervisors[0].stop() == 0


def test_a_handler_that_writes_to_the_workers_connection_costs_nobody_a_job(bench: Bench) -> None:
    start(bench)
    assert ask(bench, "writes_everywhere") == "written"
    assert isinstance(ask(bench, "pid"), int)
    assert not bench.supervisors[0].about("exited")
    assert bench.supervisors[0].stop() == 0


def test_who_waited_for_a_job_that_nobody_knows_leaves_nothing_on_the_server(bench: Bench) -> None:
    with pytest.raises(JobNotFound):
        bench.manager.handle("nobody").result(timeout=LONG)
    assert check(bench.store) == []
