"""One manager in many threads at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from door.app import echo, left, tempotask
from door.conftest import Environment

from tempotask import JobHandle, ServerUnavailable

pytestmark = pytest.mark.usefixtures("environment")
THREADS = 16


def everywhere(call: Callable[[int], object]) -> list[object]:
    """Calls in many threads that start together; what they returned."""
    together = threading.Barrier(THREADS)

    def start(number: int) -> object:
        together.wait(60)
        return call(number)

    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(start, range(THREADS)))


def test_producers_in_many_threads_add_each_job_once_under_an_id_of_its_own() -> None:
    tempotask.close()  # the first use, which opens, is raced for too

    def produce(number: int) -> list[str]:
        single = [left.enqueue([number, n]).id for n in range(50)]
        return single + [h.id for h in tempotask.enqueue_many([{"name": "left", "queue": "nobody"}] * 50)]

    ids = [id for found in everywhere(produce) for id in found]  # type: ignore[attr-defined]
    assert len(set(ids)) == THREADS * 100
    assert tempotask._client.store.read("ZCARD", "due") == THREADS * 100


def test_each_thread_gets_the_results_it_waits_for() -> None:
    def work(number: int) -> bool:
        one_by_one = [echo.enqueue([number, n]).result(timeout=60) for n in range(20)]
        handles = tempotask.enqueue_many([{"name": "echo", "queue": "q", "data": [number, n]} for n in range(20)])
        return one_by_one == handles.results(timeout=60) == [[number, n] for n in range(20)]

    assert everywhere(work) == [True] * THREADS


def test_closing_while_others_use_it_breaks_no_enqueue_and_leaves_nobody_waiting() -> None:
    done = threading.Event()

    def use(number: int) -> None:
        if number == 0:
            while not done.wait(0.001):
                tempotask.close()
            return
        try:
            for n in range(50):
                handle = echo.enqueue([number, n])
                while not told(handle, [number, n]):
                    pass
        finally:
            with lock:
                finished.append(number)
                if len(finished) == THREADS - 1:
                    done.set()

    lock, finished = threading.Lock(), list[int]()
    everywhere(use)


def told(handle: JobHandle[object], expected: object) -> bool:
    """Whether it had its result, and was not cut off by a close."""
    try:
        result = handle.result(timeout=60)
    except ServerUnavailable as error:
        if "when its manager was closed" in str(error):
            return False
        raise
    assert result == expected
    return True


def test_a_wait_that_is_cut_off_by_close_says_so_at_once(environment: Environment) -> None:
    handle = left.enqueue()
    told: list[Exception] = []

    def wait() -> None:
        try:
            handle.result(timeout=100)
        except Exception as error:
            told.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    outcomes = tempotask._client.outcomes
    while not outcomes._waiting:
        thread.join(0.001)
    tempotask.close()
    thread.join(60)
    (error,) = told
    assert isinstance(error, ServerUnavailable)
    assert "when its manager was closed" in str(error)
    assert handle.status() == "delayed"
