"""Handlers that do what no handler should: only their own jobs pay for it."""

from __future__ import annotations

import contextlib
import signal
import socket
import time
from pathlib import Path

import pytest
from pool.running import APPS, LONG, Bench, wait_until

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


@pytest.mark.parametrize("resets", [False, True])
def test_signals_that_a_handler_lets_in_do_not_keep_what_a_later_job_says_from_being_seen(
    bench: Bench, resets: bool
) -> None:
    start(bench)
    ask(bench, "lets_signals_in", resets)
    handles = bench.manager.enqueue_many({"name": name, "queue": "q"} for name in (*["pid"] * 20, "talks"))
    wait_until(lambda: handles[20].info().logs, "what it says is not seen")
    assert handles[20].status() == "processing"
    bench.open_gate()
    assert handles[20].result(timeout=LONG) == "done"
    assert len(set(handles.results(timeout=LONG)[:20])) == 1, "one worker has done it all"


def test_programs_that_a_handler_starts_have_no_signals_held_back(bench: Bench) -> None:
    start(bench)
    assert int(str(ask(bench, "signals_of_a_child")), 16) == 0


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


def test_a_coroutine_that_stops_its_loop_fails_and_the_next_one_does_not(bench: Bench) -> None:
    start(bench)
    with pytest.raises(JobFailed, match="Event loop stopped"):
        ask(bench, "stops_the_loop")
    assert ask(bench, "sleeps", 0.01) == "slept"
    assert not bench.supervisors[0].about("exited")
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


def test_a_nursery_that_a_handler_stops_goes_on_when_it_is_needed(bench: Bench) -> None:
    start(bench)
    with pytest.raises(WorkerCrashed):
        ask(bench, "stops_its_parent", max_crashes=1)
    assert isinstance(ask(bench, "pid"), int)
    bench.supervisors[0].wait_for("was stopped, and goes on")
    assert bench.supervisors[0].stop() == 0


@pytest.mark.parametrize("text", [b"what is this\r\n", b"PING\r\n", b"COMMAND\r\n", b"*2\r\n$4\r\n"])
def test_a_handler_that_writes_to_the_workers_connection_costs_nobody_a_job(bench: Bench, text: bytes) -> None:
    start(bench)
    worker = ask(bench, "pid")
    assert ask(bench, "writes_everywhere", text) == "written"
    assert {ask(bench, "pid") for _ in range(5)} == {worker}
    assert not bench.supervisors[0].about("exited")
    assert bench.supervisors[0].stop() == 0


def test_a_worker_whose_descriptors_a_handler_closed_ends_and_writes_to_no_file_of_that(
    bench: Bench, tmp_path: Path
) -> None:
    start(bench)
    worker = ask(bench, "pid")
    assert ask(bench, "closes_everything", str(tmp_path / "own")) == "closed"
    assert {ask(bench, "pid") for _ in range(5)} != {worker}
    bench.supervisors[0].wait_for("a handler has closed descriptors")
    assert not bench.supervisors[0].about("exited")
    assert (tmp_path / "own").read_bytes() == b""
    assert bench.supervisors[0].stop() == 0


def test_a_worker_says_nothing_to_whom_a_handler_connects_under_the_number_of_its_own_connection(
    bench: Bench, short_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.bind(f"{short_path}/s")
        stranger.listen(64)
        stranger.setblocking(False)
        start(bench)
        ask(bench, "connects_instead", f"{short_path}/s")
        ask(bench, "pid")
        lines, heard = list[socket.socket](), b""
        with contextlib.suppress(BlockingIOError):
            while True:
                lines.append(stranger.accept()[0])
        for line in lines:
            with line, contextlib.suppress(BlockingIOError):
                line.setblocking(False)
                heard += line.recv(1000)
        assert lines
        assert heard == b""
    assert bench.supervisors[0].stop() == 0


def test_a_time_limit_ends_a_handler_that_has_reset_its_signal_and_counts_as_one(bench: Bench) -> None:
    start(bench)
    with pytest.raises(JobTimeout):
        ask(bench, "resets_signals", True, timeout=0.1)
    assert bench.supervisors[0].stop() == 0


def test_a_time_limit_ends_a_worker_that_has_left_its_process_group(bench: Bench) -> None:
    start(bench)
    with pytest.raises(JobTimeout):
        ask(bench, "leaves_its_group")
    assert bench.supervisors[0].stop() == 0


def test_nobody_is_blamed_for_a_signal_that_an_earlier_handler_has_reset(bench: Bench) -> None:
    start(bench)
    ask(bench, "resets_signals", False)
    innocent = bench.manager.enqueue(name="holds", queue="q", options={"max_crashes": 1})
    assert bench.hear() == ["holds", innocent.id]
    bench.supervisors[0].signal(signal.SIGHUP)
    assert "runs again, unmarked" in bench.supervisors[0].wait_for("was killed by SIGUSR2")
    assert bench.hear() == ["holds", innocent.id]
    bench.open_gate()
    innocent.result(timeout=LONG)
    assert bench.supervisors[0].stop() == 0


@pytest.mark.parametrize("kind", ["liar", "surrogate", "long"])
def test_an_exception_of_whatever_kind_fails_its_job_and_is_told_in_few_words(bench: Bench, kind: str) -> None:
    start(bench)
    with pytest.raises(JobFailed) as failed:
        ask(bench, "raises", kind)
    assert type(failed.value) is JobFailed
    assert 0 < len(failed.value.type) < 1000
    assert not bench.supervisors[0].about("exited")
    assert bench.supervisors[0].stop() == 0


@pytest.mark.parametrize("neighbours", [0, 5])
def test_a_job_whose_process_dies_each_time_behind_its_end_fails_and_its_neighbours_do_not(
    bench: Bench, neighbours: int
) -> None:
    names = ["pid"] * neighbours
    jobs = bench.manager.enqueue_many({"name": name, "queue": "q"} for name in [*names, "dies_behind_its_end", *names])
    start(bench)
    poison = jobs.pop(neighbours)
    with pytest.raises(WorkerCrashed, match="for the 3rd time"):
        poison.result(timeout=LONG)
    assert len(jobs.results(timeout=LONG)) == 2 * neighbours
    assert bench.supervisors[0].stop() == 0
    # Whether they came in one batch is a matter of pace.
    for line in bench.supervisors[0].about("one of which may have done it"):
        assert poison.id in line


def test_a_job_that_is_suspected_too_often_is_told_of_all_deaths_that_it_may_have_caused(bench: Bench) -> None:
    start(bench)
    supervisor = bench.supervisors[0]
    handle = bench.manager.enqueue(name="holds", queue="q", options={"max_crashes": 1})
    bench.hear()
    supervisor.nursery().kill()
    assert "runs again, alone (suspected 1 of 2)" in supervisor.wait_for(handle.id)
    bench.hear()
    supervisor.nursery().kill()
    with pytest.raises(WorkerCrashed, match="with its nursery: the 2nd death of a process or a host that it may have"):
        handle.result(timeout=LONG)
    assert supervisor.stop() == 0


def test_who_waited_for_a_job_that_nobody_knows_leaves_nothing_on_the_server(bench: Bench) -> None:
    with pytest.raises(JobNotFound):
        bench.manager.handle("nobody").result(timeout=LONG)
    assert check(bench.store) == []


def test_what_goes_wrong_beside_a_long_job_is_said_once_and_does_it_no_harm(bench: Bench) -> None:
    start(bench)
    assert ask(bench, "can_not_be_looked_at") == "looked at"
    assert bench.supervisors[0].stop() == 0
    assert len(bench.supervisors[0].about("is settled with its batch only: RuntimeError: no look")) == 1


@pytest.mark.parametrize(
    ("what", "answer"),
    [
        ("itself", "waits in its handler for its own end"),
        ("all", "a handler can't wait until nothing is left"),
        ("a pool", "a handler can't start the pool that it runs in"),
    ],
)
def test_a_handler_that_would_wait_for_ever_fails_at_once(bench: Bench, what: str, answer: str) -> None:
    start(bench)
    with pytest.raises(JobFailed, match=answer):
        ask(bench, "waits_for", what)
    assert bench.supervisors[0].stop() == 0


def test_the_log_tells_once_of_a_worker_whose_handler_waits_for_another_job(bench: Bench) -> None:
    start(bench)
    other = bench.manager.enqueue(name="pid", queue="q", options={"delay": 1000})
    for _ in range(2):
        with pytest.raises(JobFailed, match="TimeoutError"):
            ask(bench, "waits_for", other.id)
    assert len(bench.supervisors[0].about("a handler waits for other jobs, and holds its worker meanwhile")) == 1
    assert bench.supervisors[0].stop() == 0


def test_a_handler_that_closes_its_output_closes_it_for_nobody_else(bench: Bench) -> None:
    start(bench)
    ask(bench, "closes_its_output")
    ask(bench, "prints", "still possible")
    assert bench.supervisors[0].stop() == 0
