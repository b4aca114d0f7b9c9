"""Task.map: many inputs, one result each, whatever happens, with a few of them in flight."""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
import queue
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mapping.app import echo, even, fleeting, fragile, half, held, note, tempotask, threads
from mapping.conftest import Gate, Stats, wait_until_nothing_waits
from pool.running import wait_until

from tempotask import (
    InvalidOptions,
    InvalidPayload,
    Job,
    JobFailed,
    QueueManager,
    ServerFull,
    Task,
    WorkerCrashed,
    shelf,
)
from tempotask.mapping.flow import IN_FLIGHT

SOURCES: dict[str, Callable[[int], Iterable[int]]] = {
    "a list": lambda number: list(range(number)),
    "a generator": lambda number: (n for n in range(number)),
}


@pytest.mark.parametrize("in_flight", [1, 2, 7, 300, None])
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.usefixtures("pool")
def test_every_input_gives_one_result(source: str, in_flight: int | None) -> None:
    for number in (0, 1, 2, 8, 50 if in_flight == 1 else 3000):
        inputs = SOURCES[source]
        assert sorted(echo.map(inputs(number), in_flight=in_flight)) == list(range(number))
        assert list(echo.map(inputs(number), in_flight=in_flight, ordered=True)) == list(range(number))


@pytest.mark.usefixtures("pool")
def test_more_inputs_than_may_be_in_flight_are_all_there() -> None:
    number = 3 * IN_FLIGHT + 1
    assert sorted(echo.map(range(number))) == list(range(number))


@pytest.mark.usefixtures("pool")
def test_inputs_of_all_kinds_arrive_as_they_are() -> None:
    inputs = [None, 0, "", "x" * 5000, b"\xff" * 100_000, [1, {"a": 2}], 1.5, "x" * 4096]
    assert list(echo.map(inputs * 20, ordered=True)) == inputs * 20
    assert set(echo.map("abc")) == {"a", "b", "c"}


class Numbered:
    """What can be gone through by numbers alone, as data sets can."""

    def __getitem__(self, number: int) -> int:
        return [3, 4][number]


@pytest.mark.usefixtures("pool")
def test_inputs_may_be_had_by_number() -> None:
    assert list(echo.map(Numbered(), ordered=True)) == [3, 4]


def test_results_come_as_they_finish(gate: Gate) -> None:
    results = held.map([gate.path, "", ""])
    assert [next(results), next(results)] == ["", ""]
    gate.open()
    assert list(results) == [gate.path]


def test_ordered_results_wait_for_the_first(gate: Gate) -> None:
    read = 0

    def inputs() -> Iterator[str]:
        nonlocal read
        for read in range(1, 21):
            yield gate.path if read == 1 else ""

    results = held.map(inputs(), ordered=True, in_flight=4)
    first = threading.Thread(target=lambda: firsts.append(next(results)))
    firsts: list[str] = []
    first.start()
    # The last of the four has ended when it is one of the finished, and the head is still held.
    while tempotask._client.store.read("HGET", "counts:held", "completed") != b"3":
        assert first.is_alive()
    assert (read, firsts) == (4, [])
    gate.open()
    first.join()
    assert firsts + list(results) == [gate.path] + [""] * 19


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("in_flight", [1, 3, 100])
@pytest.mark.usefixtures("pool")
def test_no_input_is_read_further_ahead_than_it_may(in_flight: int, ordered: bool) -> None:
    read, yielded, furthest = 0, 0, 0

    def inputs() -> Iterator[int]:
        nonlocal read, furthest
        for number in range(600):
            read += 1
            # The result that is being looked at is yielded already.
            furthest = max(furthest, read - yielded)
            yield number

    for _ in echo.map(inputs(), in_flight=in_flight, ordered=ordered):
        yielded += 1
    assert yielded == 600
    assert furthest <= in_flight


@pytest.mark.usefixtures("pool")
def test_nothing_is_read_before_the_first_result_is_asked_for() -> None:
    read: list[int] = []
    results = echo.map(read.append(n) or n for n in range(10))  # type: ignore[func-returns-value]
    assert read == []
    assert next(results) in range(10)
    assert read


@pytest.mark.usefixtures("pool")
def test_a_result_does_not_wait_for_the_next_input() -> None:
    typed: queue.Queue[int] = queue.Queue()
    results = echo.map(iter(typed.get, -1))
    for number in range(20):
        typed.put(number)
        assert next(results) == number
    typed.put(-1)
    assert list(results) == []


def test_what_has_not_started_is_cancelled_when_the_generator_is_closed(gate: Gate, stats: Stats) -> None:
    results = held.map(itertools.chain([""], itertools.repeat(gate.path)), in_flight=3000)
    assert next(results) == ""
    results.close()
    wait_until_nothing_waits(stats, "held")
    gate.open()
    ended = stats("held")
    assert ended["cancelled"] > 0
    assert list(results) == []


def test_what_has_not_started_is_cancelled_when_nobody_holds_the_generator(gate: Gate, stats: Stats) -> None:
    for result in held.map(itertools.chain([""], itertools.repeat(gate.path)), in_flight=100):
        assert result == ""
        break
    gc.collect()
    wait_until_nothing_waits(stats, "held")


def test_of_other_jobs_none_is_cancelled(gate: Gate, stats: Stats) -> None:
    results = held.map(itertools.chain([""], itertools.repeat(gate.path)), in_flight=100)
    others = tempotask.enqueue_many({"name": "held", "queue": "held", "data": ""} for _ in range(50))
    assert next(results) == ""
    results.close()
    gate.open()
    assert others.results(timeout=60) == [""] * 50


@pytest.mark.usefixtures("pool")
def test_the_generator_of_inputs_is_closed_too() -> None:
    closed = threading.Event()

    def inputs() -> Iterator[int]:
        try:
            yield from itertools.count()
        finally:
            closed.set()

    with contextlib.closing(echo.map(inputs(), in_flight=5)) as results:
        next(results)
    assert closed.wait(60)


@pytest.mark.usefixtures("pool")
def test_the_first_failure_is_raised_and_ends_the_map(stats: Stats) -> None:
    results = even.map([0, 2, 3, *range(4, 2000)], ordered=True)
    assert [next(results), next(results)] == [0, 2]
    with pytest.raises(JobFailed, match="3 is odd"):
        next(results)
    assert list(results) == []
    wait_until_nothing_waits(stats, "q")


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.usefixtures("pool")
def test_failures_are_yielded_in_the_place_of_results(ordered: bool) -> None:
    results = list(even.map(range(500), on_error="yield", ordered=ordered))
    told = [str(one) if isinstance(one, JobFailed) else one for one in results]
    good = [one for one in told if isinstance(one, int)]
    bad = [one for one in told if isinstance(one, str)]
    assert sorted(good) == list(range(0, 500, 2))
    assert len(bad) == 250
    assert all("is odd" in one for one in bad)
    if ordered:
        assert [isinstance(one, str) for one in told] == [False, True] * 250


@pytest.mark.usefixtures("pool")
def test_an_input_that_kills_its_process_costs_only_itself() -> None:
    results = list(fragile.map(range(400), on_error="yield", ordered=True))
    assert isinstance(results[13], WorkerCrashed)
    assert results[:13] + results[14:] == [*range(13), *range(14, 400)]


@pytest.mark.usefixtures("pool")
def test_an_input_that_cant_be_sent_is_told_by_its_number() -> None:
    results = list(echo.map([1, object(), 3], on_error="yield", ordered=True))
    assert [results[0], results[2]] == [1, 3]
    assert isinstance(results[1], InvalidPayload)
    assert str(results[1]).startswith("input 1: data is of type object, which can't be sent")
    with pytest.raises(InvalidPayload, match="input 2: data is of type"):
        list(echo.map([1, 2, object(), 4]))
    with pytest.raises(InvalidPayload, match="input 0: data is 9,000,005 bytes"):
        list(echo.map([b"x" * 9_000_000]))


@pytest.mark.parametrize("make", [lambda inputs: inputs, lambda inputs: _Sized(inputs)])
@pytest.mark.parametrize("on_error", ["raise", "yield"])
def test_what_reading_the_inputs_raises_is_raised(
    gate: Gate, stats: Stats, make: Callable[[Any], Any], on_error: Any
) -> None:
    def inputs() -> Iterator[str]:
        yield from itertools.repeat(gate.path, 100)
        raise OSError("no more tape")

    with pytest.raises(OSError, match="no more tape"):
        list(held.map(make(inputs()), on_error=on_error))
    wait_until_nothing_waits(stats, "held")


def test_inputs_are_read_on_when_the_first_took_long_to_send(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempotask.mapping.flow.LONGEST_PAUSE", 0.0)
    with pytest.raises(InvalidPayload, match="input 100: "):
        list(held.map([*[gate.path] * 100, object()]))


class _Sized:
    """A collection that is none."""

    def __init__(self, inputs: Iterator[str]) -> None:
        self._inputs = inputs

    def __iter__(self) -> Iterator[str]:
        return self._inputs

    def __len__(self) -> int:
        return 1

    def __contains__(self, one: object) -> bool:
        return False


@pytest.mark.usefixtures("pool")
def test_outcomes_are_there_though_their_task_keeps_none() -> None:
    assert sorted(fleeting.map(range(2000), in_flight=100)) == list(range(2000))


@pytest.mark.usefixtures("pool")
def test_the_server_keeps_no_outcome_that_was_handed_out() -> None:
    assert len(list(echo.map(range(5000)))) == 5000
    assert int(tempotask._client.store.read("HGET", "results", "n")) == 0


@pytest.mark.usefixtures("pool")
def test_several_threads_map_at_once(tmp_path: Path) -> None:
    ledger = str(tmp_path / "ledger")
    found: dict[int, list[int]] = {}

    def go(thread: int) -> None:
        found[thread] = list(note.map(((ledger, thread * 1000 + n) for n in range(500)), in_flight=50, ordered=True))

    going = [threading.Thread(target=go, args=(thread,)) for thread in range(4)]
    for thread in going:
        thread.start()
    for thread in going:
        thread.join()
    assert found == {thread: [thread * 1000 + n for n in range(500)] for thread in range(4)}
    ran = sorted(map(int, (tmp_path / "ledger").read_text().split()))
    assert ran == [thread * 1000 + n for thread in range(4) for n in range(500)]


def test_an_inline_manager_runs_each_job_in_the_caller() -> None:
    assert set(threads.map(range(10))) == {threading.get_ident()}
    assert set(threads.map(n for n in range(10))) == {threading.get_ident()}
    assert list(half.map(range(0, 200, 2), ordered=True, in_flight=7)) == list(range(100))
    with pytest.raises(JobFailed, match="1 is odd"):
        list(half.map([0, 1, 2]))
    assert sum(isinstance(one, JobFailed) for one in half.map(range(10), on_error="yield")) == 5


WRONG: dict[str, tuple[Callable[[], object], str]] = {
    "in_flight=0": (lambda: echo.map([], in_flight=0), "in_flight=0: give a whole number of at least 1"),
    "in_flight=2.5": (lambda: echo.map([], in_flight=2.5), "in_flight=2.5: give a whole number"),  # type: ignore[call-overload]
    "in_flight=True": (lambda: echo.map([], in_flight=True), "in_flight=True: give a whole number"),
    "on_error": (lambda: echo.map([], on_error="ignore"), 'on_error=\'ignore\': give "raise" or "yield"'),  # type: ignore[call-overload]
    "ordered": (lambda: echo.map([], ordered=1), "ordered=1: give True or False"),  # type: ignore[call-overload]
    "inputs": (lambda: echo.map(5), "map takes an iterable of inputs, and 5 is none"),  # type: ignore[call-overload]
    "async": (lambda: echo.map(_never()), "the inputs are async; go through them with amap"),  # type: ignore[call-overload]
    "amap": (lambda: echo.amap([], in_flight=0), "in_flight=0: give a whole number of at least 1"),
    "unregistered": (lambda: Task(name="n", queue="q", handler=_handler).map([]), "register_job(task) comes first"),
}


async def _never() -> AsyncIterator[int]:
    yield 1


def _handler(job: Job[int], ctx: object) -> int:
    return job.data


@pytest.mark.parametrize("case", WRONG)
def test_what_makes_no_sense_is_refused_at_once_in_one_line(case: str) -> None:
    call, line = WRONG[case]
    with pytest.raises(InvalidOptions) as refusal:
        call()
    assert line in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_map_that_never_begins_opens_nothing() -> None:
    manager: QueueManager[Any] = QueueManager.init("redis://localhost:1")
    task = manager.register_job(Task(name="n", queue="q", handler=_handler))
    task.map([1]).close()


@pytest.fixture
def one_ahead(pool: None, stats: Stats) -> Iterator[Iterator[int]]:
    """A map of 1, 2 and 3: 1 was handed out, 2 has ended, and 3 is to be added at the next step."""
    before = stats("q").get("completed", 0)
    results = echo.map([1, 2, 3], in_flight=2, ordered=True)
    assert next(results) == 1
    wait_until(lambda: stats("q")["completed"] >= before + 2, "the second does not end")
    yield results
    results.close()


def test_an_input_is_not_lost_where_the_connection_breaks_as_it_is_added(one_ahead: Iterator[int]) -> None:
    admin = tempotask._client.store.server.client()
    admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")  # type: ignore[no-untyped-call]
    assert list(one_ahead) == [2, 3]


@contextlib.contextmanager
def refused_as_full() -> Iterator[None]:
    """While it lasts the server is full, and what is done in it is to be told so."""
    admin = tempotask._client.store.server.client()
    admin.config_set("maxmemory", 1)
    try:
        with pytest.raises(ServerFull):
            yield
    finally:
        admin.config_set("maxmemory", 0)


def test_a_full_server_is_told_as_that(one_ahead: Iterator[int]) -> None:
    with refused_as_full():
        list(one_ahead)


def test_a_map_that_ends_as_the_server_is_full_cancels_what_waits(gate: Gate, stats: Stats) -> None:
    results = held.map(["", *[gate.path] * 20], in_flight=8)
    assert next(results) == ""
    wait_until(lambda: stats("held").get("processing"), "none is taken")
    with refused_as_full():
        next(results)
    wait_until_nothing_waits(stats, "held")


@pytest.mark.usefixtures("pool")
def test_arrays_that_were_read_before_reading_fails_leave_no_file() -> None:
    numpy = pytest.importorskip("numpy")

    class Failing(list[Any]):
        def __iter__(self) -> Iterator[Any]:
            for _ in range(3):
                yield numpy.ones(100_000)
            raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        list(echo.map(Failing()))
    gc.collect()
    folder = shelf.SHM / f"tempotask-{os.geteuid()}" / tempotask._client.shelf.folder
    assert not list(folder.glob("data-*"))
