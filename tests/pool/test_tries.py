"""Which errors are tried again, and handlers that ask for another try."""

from __future__ import annotations

import itertools

import pytest
from pool.running import LONG, Bench

from tempotask import InvalidOptions, JobFailed, JobTimeout

APP = "tries:tempotask"


def failure(bench: Bench, name: str, data: object = None, **options: object) -> JobFailed:
    with pytest.raises(JobFailed) as failed:
        bench.manager.enqueue(name=name, queue="q", data=data, options=options).result(timeout=LONG)
    return failed.value


def tries(bench: Bench) -> int:
    """How many have been told and not heard of."""
    number = 0
    while not bench.hear_no_more():
        assert bench.hear()[0] in ("tries", "runs")
        number += 1
    return number


@pytest.mark.parametrize(
    ("name", "error", "number"),
    [
        ("patient", "ConnectionResetError", 3),
        ("patient", "ValueError", 1),
        ("picky", "ConnectionResetError", 3),
        ("picky", "KeyError", 3),
        ("picky", "FileNotFoundError", 1),
        ("picky", "ValueError", 1),
    ],
)
def test_only_errors_that_are_in_retry_on_and_not_in_fail_on_are_tried_again(
    bench: Bench, name: str, error: str, number: int
) -> None:
    bench.start(app=APP, workers=1)
    assert failure(bench, name, error).type == error
    assert tries(bench) == number


@pytest.mark.parametrize("how", ["sleep", "C"])
def test_a_time_out_is_an_error_like_others_also_when_the_process_had_to_be_killed(bench: Bench, how: str) -> None:
    bench.start(app=APP, workers=1)
    for name, number in (("once", 1), ("twice", 2)):
        failed = failure(bench, name, how)
        assert isinstance(failed, JobTimeout)
        assert ("SIGKILL" in failed.message) == (how == "C")
        assert tries(bench) == number


@pytest.mark.parametrize("what", ["one", "many"])
def test_a_time_out_that_strikes_while_jobs_are_added_is_the_handlers(bench: Bench, what: str) -> None:
    bench.manager.pause_queue("paused")
    bench.manager.enqueue(name="waits", queue="paused", options={"id": "waits"})
    bench.start(app=APP, workers=1)
    for _ in range(4):
        failed = failure(bench, "adds", what)
        assert isinstance(failed, JobTimeout)
        assert "adds" in failed.traceback
    bench.manager.delete_all_jobs()


@pytest.mark.parametrize("how", ["time", "crash", "name"])
def test_only_its_own_end_is_told_as_a_time_out_or_a_crash(bench: Bench, how: str) -> None:
    bench.start(app=APP, workers=2)
    failed = failure(bench, "passes_on", how)
    assert type(failed) is JobFailed
    assert (
        failed.type
        == {
            "time": "tempotask.errors.JobTimeout",
            "crash": "tempotask.errors.WorkerCrashed",
            "name": "tries.JobTimeout",
        }[how]
    )


@pytest.mark.parametrize("option", ["retry_on", "fail_on"])
def test_a_call_can_not_say_which_errors_are_tried_again(bench: Bench, option: str) -> None:
    for add in (
        lambda: bench.manager.enqueue(name="x", queue="q", options={option: ValueError}),
        lambda: bench.manager.publish(name="x", queues=["q"], options={option: ValueError}),
        lambda: bench.manager.enqueue_many([{"name": "x", "queue": "q", "options": {option: ValueError}}]),
    ):
        with pytest.raises(InvalidOptions, match=f"{option} belongs to the task"):
            add()
    assert bench.store.quiet()


def test_a_handler_that_asks_for_another_try_gets_one_after_the_time_it_names(bench: Bench) -> None:
    bench.start(app=APP, workers=1)
    handle = bench.manager.enqueue(name="ask", queue="q", data=[4, 0.3])
    times = [float(bench.hear()[2]) for _ in range(4)]
    assert handle.result(timeout=LONG) == 4
    for earlier, later in itertools.pairwise(times):
        # The server counts whole milliseconds. Above, only a machine that is very busy makes it longer.
        assert 0.298 <= later - earlier < 5
    errors = handle.info().errors
    assert [(error.attempt, error.type, error.message) for error in errors] == [
        (n, "Retry", f"not yet {n}") for n in (1, 2, 3)
    ]
    assert "raise Retry(" in errors[0].traceback


def test_where_attempts_are_set_asking_uses_them_up_and_names_retry_and_the_reason(bench: Bench) -> None:
    bench.start(app=APP, workers=1)
    by_task = failure(bench, "ask_thrice", [9, 0])
    assert (by_task.type, by_task.message) == ("Retry", "not yet 3")
    assert tries(bench) == 3
    by_call = failure(bench, "ask", [9, 0], attempts=2)
    assert (by_call.type, by_call.message) == ("Retry", "not yet 2")
    assert tries(bench) == 2


def test_without_a_time_the_next_try_comes_after_the_jobs_own_retry_delay(bench: Bench) -> None:
    bench.start(app=APP, workers=1)
    handle = bench.manager.enqueue(name="ask_thrice", queue="q", data=[2, None])
    first, second = (float(bench.hear()[2]) for _ in range(2))
    assert handle.result(timeout=LONG) == 2
    assert 0.298 <= second - first < 5


def test_asking_is_no_error_that_retry_on_or_fail_on_concern_and_a_later_failure_is_final(bench: Bench) -> None:
    bench.start(app=APP, workers=1)
    handle = bench.manager.enqueue(name="then_fail", queue="q")
    with pytest.raises(JobFailed, match="now it fails"):
        handle.result(timeout=LONG)
    assert [(error.attempt, error.type) for error in handle.info().errors] == [(1, "Retry"), (2, "ValueError")]
    assert handle.info().tries == 2


def test_the_errors_of_the_latest_twenty_tries_are_kept(bench: Bench) -> None:
    bench.start(app=APP, workers=1)
    handle = bench.manager.enqueue(name="ask", queue="q", data=[30, 0])
    assert handle.result(timeout=LONG) == 30
    assert [error.attempt for error in handle.info().errors] == list(range(10, 30))
