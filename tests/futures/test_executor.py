"""What an executor calls, what comes back, and in which order."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future, as_completed, wait
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from futures import errands
from futures.conftest import Gate
from pool.running import wait_until
from tqdm.contrib import concurrent as bars

from tempotask import InvalidOptions, InvalidPayload, JobCancelled, JobFailed, NotImportable
from tempotask.futures import TempoExecutor
from tempotask.futures.executor import MEANWHILE

LONG = 60


def test_functions_are_called_by_name_with_what_they_are_given(executor: TempoExecutor) -> None:
    assert executor.submit(pow, 2, 8).result(LONG) == 256
    assert executor.submit(errands.capture, 1, self=2, fn=3).result(LONG) == [[1], {"self": 2, "fn": 3}]
    assert executor.submit(partial(errands.add, 1), other=2).result(LONG) == 3
    assert executor.submit(errands.Box.double, 4).result(LONG) == 8
    assert executor.submit(errands.Box.named).result(LONG) == "Box"
    assert executor.submit(dict, a=1).result(LONG) == {"a": 1}


def test_plain_data_come_back_as_plain_data_so_tuples_as_lists(executor: TempoExecutor) -> None:
    assert executor.submit(errands.same, (1, (2, 3))).result(LONG) == [1, [2, 3]]


def test_a_pickling_executor_brings_back_just_what_was_sent(pickling: TempoExecutor) -> None:
    assert pickling.submit(errands.same, (1, {2, 3})).result(LONG) == (1, {2, 3})
    assert pickling.submit(errands.Box(5).get).result(LONG) == 5
    assert list(pickling.map(errands.Box, [1, 2]))[1].value == 2


def test_arrays_of_numpy_are_sent_either_way(executor: TempoExecutor, pickling: TempoExecutor) -> None:
    numpy = pytest.importorskip("numpy")
    small, large = numpy.arange(10), numpy.ones(100_000)
    for each in (executor, pickling):
        assert (each.submit(errands.same, small).result(LONG) == small).all()
    assert executor.submit(numpy.ones, 100_000).result(LONG).sum() == 100_000
    assert (pickling.submit(errands.same, large).result(LONG) == large).all()


@pytest.mark.parametrize("what", ["lambda", "local", "bound", "instance"])
def test_what_workers_cannot_import_is_refused_when_it_is_submitted(executor: TempoExecutor, what: str) -> None:
    def local() -> None: ...

    given: dict[str, Any] = {
        "lambda": lambda: None,
        "local": local,
        "bound": errands.Box(1).get,
        "instance": errands.Box(1),
    }
    # An object may go along, pickled; pickle itself wants a function that can be imported.
    says = "pickle=True" if what in ("bound", "instance") else "top level of a module$"
    for use in (executor.submit, lambda fn: executor.map(fn, [1])):
        with pytest.raises(NotImportable, match=says):
            use(given[what])


def test_what_cannot_be_sent_fails_its_future_and_names_the_part(executor: TempoExecutor) -> None:
    with pytest.raises(InvalidPayload, match=r"call.arguments\[1\]\['x'\] is of type object"):
        executor.submit(errands.capture, 1, {"x": object()}).result(LONG)
    with pytest.raises(InvalidPayload, match=r"of type .*Box"):
        executor.submit(errands.Box, 1).result(LONG)


def test_exceptions_are_of_their_own_type_and_show_where_they_were_raised(executor: TempoExecutor) -> None:
    for kind, type_, arguments in (("builtin", KeyError, ("no such", 7)), ("plain", errands.Plain, ("so", 1))):
        error = executor.submit(errands.fail, kind).exception(LONG)
        assert type(error) is type_
        assert error.args == arguments
        assert isinstance(error.__cause__, JobFailed)
        assert "in fail" in error.__cause__.traceback
        assert "in fail" in "".join(traceback.format_exception(error)), "who lets it go uncaught sees where"


def test_an_exception_that_cannot_be_made_again_comes_as_text(executor: TempoExecutor, pickling: TempoExecutor) -> None:
    for each in (executor, pickling):
        error = each.submit(errands.fail, "odd").exception(LONG)
        assert type(error) is JobFailed
        assert (error.type, error.message) == ("futures.errands.Odd", "3")


def test_a_pickling_executor_brings_back_the_exception_itself(pickling: TempoExecutor) -> None:
    error = pickling.submit(errands.fail, "plain").exception(LONG)
    assert type(error) is errands.Plain
    assert error.args == ("so", 1)
    assert "in fail" in str(error.__cause__)


def test_an_exit_in_a_call_is_its_error_and_the_worker_goes_on(executor: TempoExecutor) -> None:
    assert isinstance(executor.submit(exit_with, 3).exception(LONG), SystemExit)
    assert executor.submit(abs, -2).result(LONG) == 2


def exit_with(status: int) -> None:
    raise SystemExit(status)


# -- map


def test_map_gives_results_in_order_of_the_inputs(executor: TempoExecutor, pickling: TempoExecutor) -> None:
    for each in (executor, pickling):
        assert list(each.map(errands.add, range(3000), range(3000))) == [2 * n for n in range(3000)]
        assert list(each.map(partial(errands.add, 1), range(10), chunksize=3)) == list(range(1, 11))
        assert list(each.map(abs, [])) == []


def test_large_and_small_calls_go_together(executor: TempoExecutor) -> None:
    texts = ["x" * size for size in (1, 100_000, 2, 3_000_000, 3) * 3]
    assert list(executor.map(errands.same, texts)) == texts


def test_map_with_a_buffersize_takes_inputs_as_results_are_taken(executor: TempoExecutor) -> None:
    taken = []

    def inputs() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    results = executor.map(abs, inputs(), buffersize=3)
    assert len(taken) == 3
    assert [next(results), next(results)] == [0, 1]
    assert len(taken) == 5
    assert list(results) == list(range(2, 100))
    for chunksize in (1, 4):
        assert list(executor.map(abs, range(20), chunksize=chunksize, buffersize=2)) == list(range(20))


def test_map_refuses_what_makes_no_sense(executor: TempoExecutor) -> None:
    for bad in ({"chunksize": 0}, {"buffersize": 0}):
        with pytest.raises(ValueError, match="size"):
            executor.map(abs, [1], **bad)
    with pytest.raises(TypeError, match="buffersize"):
        executor.map(abs, [1], buffersize="3")
    for bad_workers in (0, -1, 5000, "2"):
        with pytest.raises(InvalidOptions, match="max_workers"):
            TempoExecutor(bad_workers)  # type: ignore[arg-type]


def test_an_error_ends_a_map_behind_the_results_before_it(executor: TempoExecutor) -> None:
    results = executor.map(errands.fail_at, range(10), [3] * 10)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="3"):
        next(results)
    assert list(results) == []


@pytest.mark.parametrize("unsendable", [[], [object()]])
def test_a_map_that_is_left_cancels_what_has_not_begun(
    executor: TempoExecutor, gate: Gate, tmp_path: Path, unsendable: list[object]
) -> None:
    touched: list[object] = [str(tmp_path / "touched")] * 50
    held = [executor.submit(errands.hold, *gate.arguments(name)) for name in "ab"]
    gate.wait_for("a", "b")
    results = executor.map(errands.touch, [*touched, *unsendable, *touched, *unsendable], timeout=0)
    with pytest.raises(TimeoutError):
        next(results)
    wait_until(lambda: executor._feeder._unsettled == 2, "calls of the map wait at the server")
    gate.open()
    assert [future.result(LONG) for future in held] == ["a", "b"]
    # What had been sent before them has ended by now.
    assert list(executor.map(abs, range(4))) == [0, 1, 2, 3]
    assert not (tmp_path / "touched").exists()


class Counted:
    """Three inputs. After its end there would be more, as with a file that grows."""

    asked = 0

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        self.asked += 1
        if self.asked == 4:
            raise StopIteration
        return self.asked


@pytest.mark.parametrize("buffersize", [None, 2])
def test_a_map_asks_for_no_input_beyond_the_end_of_its_inputs(executor: TempoExecutor, buffersize: int | None) -> None:
    inputs = Counted()
    assert list(executor.map(abs, inputs, buffersize=buffersize)) == [1, 2, 3]
    assert inputs.asked == 4


def test_a_map_that_is_left_leaves_other_calls_alone(executor: TempoExecutor, gate: Gate) -> None:
    held = [executor.submit(errands.hold, *gate.arguments(name)) for name in "ab"]
    gate.wait_for("a", "b")
    other = executor.map(abs, range(-50, 0))
    future = executor.submit(abs, -1)
    with pytest.raises(TimeoutError):
        next(executor.map(abs, range(50), timeout=0))
    gate.open()
    assert list(other) == list(range(50, 0, -1))
    assert future.result(LONG) == 1
    assert [future.result(LONG) for future in held] == ["a", "b"]


# -- futures


def test_futures_can_be_waited_for_by_all_means_of_the_standard_library(executor: TempoExecutor) -> None:
    futures = [executor.submit(errands.same, number) for number in range(50)]
    assert {future.result() for future in as_completed(futures, LONG)} == set(range(50))
    assert wait(futures, LONG).not_done == set()
    called: Future[int] = Future()
    executor.submit(abs, -1).add_done_callback(
        lambda done: executor.submit(errands.add, done.result(), 1).add_done_callback(
            lambda done: called.set_result(done.result())
        )
    )
    assert called.result(LONG) == 2


def test_a_call_is_cancelled_unless_a_worker_has_it(executor: TempoExecutor, gate: Gate) -> None:
    running = [executor.submit(errands.hold, *gate.arguments(name)) for name in "ab"]
    gate.wait_for("a", "b")
    waiting = [executor.submit(abs, number) for number in range(30)]
    assert not running[0].cancel()
    assert running[0].running()
    # The first of them are at the server by now, or will be; the last are not.
    assert [future.cancel() for future in waiting] == [True] * 30
    assert all(future.cancelled() for future in waiting)
    assert wait(waiting, LONG).not_done == set()
    with pytest.raises(CancelledError):
        waiting[0].result(0)
    gate.open()
    assert [future.result(LONG) for future in running] == ["a", "b"]


def test_threads_share_an_executor(executor: TempoExecutor) -> None:
    wrong: list[int] = []

    def work(number: int) -> None:
        wrong.extend(n for n in range(50) if executor.submit(errands.add, number, n).result(LONG) != number + n)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_an_event_loop_awaits_calls(executor: TempoExecutor) -> None:
    async def main() -> list[int]:
        loop = asyncio.get_running_loop()
        return await asyncio.gather(*(loop.run_in_executor(executor, errands.add, n, 1) for n in range(20)))

    assert asyncio.run(main()) == list(range(1, 21))


def test_bars_of_tqdm_show_the_progress_of_a_map(server_url: str) -> None:
    found = bars._executor_map(
        partial(TempoExecutor, db=server_url), errands.same, range(20), max_workers=1, disable=True, chunksize=3
    )
    assert found == list(range(20))


@pytest.mark.parametrize(
    ("kind", "text"),
    [("hidden", "futures.errands.Hidden: it"), ("large", "ValueError: "), ("ending", "futures.errands.Ending: ")],
)
def test_the_oddest_errors_come_as_text(executor: TempoExecutor, kind: str, text: str) -> None:
    with pytest.raises(JobFailed, match=text) as caught:
        executor.submit(errands.fail_oddly, kind).result(LONG)
    assert "in fail_oddly" in caught.value.traceback
    assert executor.submit(abs, -1).result(LONG) == 1


def test_an_error_that_can_be_pickled_and_not_be_made_again_comes_as_text(pickling: TempoExecutor) -> None:
    with pytest.raises(JobFailed, match="Ending") as caught:
        pickling.submit(errands.fail_oddly, "ending").result(LONG)
    assert "in fail_oddly" in caught.value.traceback


def test_an_error_that_nobody_may_write_to_comes_as_itself(executor: TempoExecutor, pickling: TempoExecutor) -> None:
    for each in (executor, pickling):
        with pytest.raises(errands.Frozen) as caught:
            each.submit(errands.fail_oddly, "frozen").result(LONG)
        assert caught.value.__cause__ is not None


def test_what_a_callback_raises_ends_no_thread_of_ours(executor: TempoExecutor, gate: Gate) -> None:
    future, called = executor.submit(errands.hold, *gate.arguments("a")), threading.Event()
    future.add_done_callback(lambda _: sys.exit(3))
    future.add_done_callback(lambda _: called.set())
    gate.open()
    assert future.result(LONG) == "a"
    assert called.wait(LONG)
    assert executor.submit(abs, -1).result(LONG) == 1


@pytest.mark.parametrize("pickles", [False, True])
def test_an_os_error_names_its_files(executor: TempoExecutor, pickling: TempoExecutor, pickles: bool) -> None:
    executor = pickling if pickles else executor
    with pytest.raises(FileNotFoundError) as raised:
        executor.submit(os.rename, "/no/such/file", "/elsewhere").result(LONG)
    assert (raised.value.filename, raised.value.filename2) == ("/no/such/file", "/elsewhere")


def test_what_a_function_raises_is_no_cancellation_of_its_call(executor: TempoExecutor) -> None:
    future = executor.submit(errands.fail_as_cancelled, 1)
    assert isinstance(future.exception(LONG), JobCancelled)
    assert not future.cancelled()
    with pytest.raises(JobCancelled):
        list(executor.map(errands.fail_as_cancelled, [1]))


def test_an_exception_whose_type_makes_something_else_is_told_as_text(executor: TempoExecutor) -> None:
    error = executor.submit(errands.fail_oddly, "changeling").exception(LONG)
    assert isinstance(error, JobFailed)
    assert executor.submit(abs, -1).result(LONG) == 1


def test_an_array_in_an_exception_comes_back_as_one(executor: TempoExecutor) -> None:
    numpy = pytest.importorskip("numpy")
    error = executor.submit(errands.fail_oddly, "array").exception(LONG)
    assert isinstance(error, ValueError)
    assert (error.args[0] == numpy.arange(3)).all()


def test_calls_of_a_map_run_while_further_inputs_are_read(executor: TempoExecutor, gate: Gate) -> None:
    def names() -> Iterator[str]:
        yield "first"
        # What comes next takes long to read.
        time.sleep(2 * MEANWHILE)
        yield "second"
        gate.wait_for("first")
        gate.open()
        yield "third"

    folder, _ = gate.arguments("")
    assert list(executor.map(partial(errands.hold, folder), names())) == ["first", "second", "third"]
