"""Large arrays in calls and in what comes of them: they pass the server by, and no file of theirs is left."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import pytest
import redis
from futures import errands
from futures.conftest import TESTS, Gate, ready
from pool.running import LONG, wait_until

from tempotask import WorkerCrashed, shelf
from tempotask.futures import TempoExecutor

np = pytest.importorskip("numpy")
LARGE = 2**20
"""Numbers in an array: 8 MiB."""


def server_bytes(url: str) -> int:
    with redis.Redis.from_url(url) as client:
        stats: Any = client.info("stats")
    return int(stats["total_net_input_bytes"]) + int(stats["total_net_output_bytes"])


def files(namespace: str) -> list[Path]:
    """The files of an executor that are there still, but for those of arrays that this program holds."""
    gc.collect()
    folder = shelf.SHM / f"tempotask-{os.geteuid()}"
    return [path for path in folder.glob(f"{namespace}-*/*") if not path.name.startswith("kept-")]


@pytest.fixture(params=["plain", "pickled"])
def made(request: pytest.FixtureRequest, server_url: str) -> Iterator[TempoExecutor]:
    with TempoExecutor(2, db=server_url, pickle=request.param == "pickled") as executor:
        yield ready(executor)
        wait_until(lambda: not files(executor._feeder._client.namespace), "files of calls that have ended are left")
    assert not list((shelf.SHM / f"tempotask-{os.geteuid()}").glob(f"{executor._feeder._client.namespace}-*"))


def test_they_pass_the_server_by_there_and_back(made: TempoExecutor, server_url: str) -> None:
    whole = np.ones(LARGE)
    before = server_bytes(server_url)
    back = [made.submit(np.multiply, whole, number) for number in range(4)]
    assert [future.result(LONG)[-1] for future in back] == [0, 1, 2, 3]
    assert [array[-1] for array in made.map(np.add, [whole] * 4, range(4), chunksize=3)] == [1, 2, 3, 4]
    assert [array[-1] for array in made.map(np.add, [whole] * 4, range(4), buffersize=1)] == [1, 2, 3, 4]
    assert server_bytes(server_url) - before < 2**20


def test_inputs_of_a_map_that_can_not_be_submitted_leave_no_file(made: TempoExecutor) -> None:
    def inputs() -> Iterator[Any]:
        yield np.ones(LARGE)
        raise LookupError

    with pytest.raises(LookupError):
        made.map(np.sum, inputs())
    assert not files(made._feeder._client.namespace)
    made.shutdown()
    with pytest.raises(RuntimeError):
        made.map(np.sum, [np.ones(LARGE)])
    with pytest.raises(RuntimeError):
        made.submit(np.sum, np.ones(LARGE))


def test_a_call_sees_its_array_as_it_was_when_it_was_submitted(made: TempoExecutor, gate: Gate) -> None:
    held = [made.submit(errands.hold, *gate.arguments(name)) for name in "ab"]
    gate.wait_for("a", "b")
    whole, sums = np.ones(LARGE), []
    for _ in range(3):
        sums.append(made.submit(np.sum, whole))
        whole += 1
    gate.open()
    assert [future.result(LONG) for future in (*held, *sums)] == ["a", "b", LARGE, 2 * LARGE, 3 * LARGE]


def test_files_go_with_calls_that_fail_die_or_never_run(made: TempoExecutor, gate: Gate) -> None:
    whole = np.ones(LARGE)
    assert made.submit(int, whole).exception(LONG) is not None
    assert isinstance(made.submit(errands.die, signal.SIGKILL).exception(LONG), WorkerCrashed)
    held = [made.submit(errands.hold, *gate.arguments(name)) for name in "ab"]
    gate.wait_for("a", "b")
    waiting = [made.submit(errands.same, whole) for _ in range(20)]
    results = made.map(errands.same, [whole] * 20)
    assert waiting.pop().cancel()
    made.shutdown(wait=False, cancel_futures=True)
    results.close()  # type: ignore[attr-defined]
    assert wait(waiting, LONG).not_done == set()
    assert all(future.cancelled() for future in waiting)
    gate.open()
    assert [future.result(LONG) for future in held] == ["a", "b"]


@pytest.mark.parametrize("pickle", [False, True])
def test_an_initializer_may_have_them(server_url: str, pickle: bool) -> None:
    small, large = np.arange(3), np.ones(LARGE)
    with TempoExecutor(1, db=server_url, pickle=pickle, initializer=errands.begin, initargs=([small, large],)) as made:
        first, second = made.submit(errands.what_begun).result(LONG)[0]
    assert first.tolist() == [0, 1, 2]
    assert second.sum() == LARGE


def test_of_a_program_that_was_killed_the_next_executor_takes_the_files_away(server_url: str, gate: Gate) -> None:
    program = f"""
import numpy, sys
sys.path.insert(0, {str(TESTS)!r})
from futures import errands
from tempotask.futures import TempoExecutor
executor = TempoExecutor(1, db={server_url!r})
executor.submit(errands.hold, {str(gate.folder)!r}, "a")
whole = numpy.ones({LARGE})
futures = [executor.submit(numpy.sum, whole) for _ in range(100)]
print(executor._feeder._client.namespace, flush=True)
futures[-1].result()
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout is not None
        namespace = killed.stdout.readline().strip()
        gate.wait_for("a")
        assert len(files(namespace)) == 100
        killed.kill()
    with TempoExecutor(1, db=server_url) as executor:
        ready(executor)
        wait_until(lambda: not files(namespace), "files of a program that was killed are left")
