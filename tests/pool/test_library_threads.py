"""Workers and the threads of numeric libraries, with numpy's own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import psutil
import pytest
from pool.running import APPS, LONG, Bench, wait_until

from tempotask.pool import threads

APP = "numeric:tempotask"
PROGRAM = """
import asyncio, os
from numeric import look, multiply, tempotask

async def main():
    before = dict(os.environ)
    await tempotask.start()
    print(await multiply.enqueue(200), await look.enqueue("OMP_NUM_THREADS"), dict(os.environ) == before)
    await tempotask.stop()
    await tempotask.aclose()

if __name__ == "__main__":
    asyncio.run(main())
"""

several = pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="on one core there is one thread anyway")


@pytest.fixture(autouse=True)
def _nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in threads.NAMES:
        monkeypatch.delenv(name, raising=False)


def multiply(bench: Bench) -> int:
    threads = bench.manager.enqueue(name="multiply", queue="q", data=200).result(LONG)
    assert isinstance(threads, int)
    return threads


@several
@pytest.mark.parametrize("environment", [{}, {"TEST_THREAD": "1"}], ids=["forked", "spawned"])
def test_numpy_uses_one_thread_in_a_worker_and_in_the_one_that_replaces_it(
    bench: Bench, environment: dict[str, str]
) -> None:
    supervisor = bench.begin(app=APP, workers=1, environment=environment)
    supervisor.wait_for("ready: ")
    assert multiply(bench) == 1
    (worker,) = supervisor.workers()
    worker.kill()
    wait_until(lambda: [each for each in supervisor.workers() if each.pid != worker.pid], "it is not replaced")
    assert multiply(bench) == 1
    supervisor.signal(signal.SIGHUP)
    supervisor.wait_for("the changed code is at work")
    assert multiply(bench) == 1
    assert supervisor.stop() == 0


@several
@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"])
def test_numpy_uses_as_many_threads_as_the_environment_says(bench: Bench, name: str) -> None:
    supervisor = bench.begin(app=APP, workers=1, environment={name: "2"})
    supervisor.wait_for("ready: ")
    assert multiply(bench) == 2
    assert supervisor.stop() == 0


@pytest.mark.parametrize("name", threads.NAMES)
def test_each_library_is_told_what_openmp_is_told_unless_it_is_told_otherwise(name: str) -> None:
    for said, told in (({}, "1"), ({"OMP_NUM_THREADS": "3"}, "3"), ({"OMP_NUM_THREADS": "3", name: "2"}, "2")):
        environment = dict(said)
        threads.limit(environment)
        assert environment[name] == told
        assert environment.keys() == set(threads.NAMES)


def test_a_number_for_each_level_of_nesting_is_told_to_openmp_alone() -> None:
    environment = {"OMP_NUM_THREADS": "4,2", "MKL_NUM_THREADS": ""}
    threads.limit(environment)
    assert environment == {**dict.fromkeys(threads.NAMES, "4"), "OMP_NUM_THREADS": "4,2"}


def test_a_program_that_starts_a_pool_keeps_its_environment(bench: Bench) -> None:
    (bench.folder / "program.py").write_text(PROGRAM)
    ended = subprocess.run(
        [sys.executable, "program.py"],
        cwd=bench.folder,
        env={**os.environ, "PYTHONPATH": str(APPS), "TEMPOTASK_DB": bench.url},
        capture_output=True,
        text=True,
        timeout=LONG,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (0, "1 1 True\n"), ended.stderr


def test_what_a_job_starts_is_told_the_same(bench: Bench) -> None:
    supervisor = bench.begin(app=APP, workers=1)
    supervisor.wait_for("ready: ")
    assert bench.manager.enqueue(name="look", queue="q", data="BLIS_NUM_THREADS").result(LONG) == "1"
    assert "BLIS_NUM_THREADS" not in psutil.Process(supervisor.process.pid).environ()
    assert supervisor.stop() == 0


def test_each_worker_draws_random_numbers_of_its_own(bench: Bench) -> None:
    """Also those that numpy keeps for all, which a fork brings along."""
    supervisor = bench.begin(app=APP, workers=1)
    supervisor.wait_for("ready: ")
    drawn = []
    for _ in range(2):
        process, number = bench.manager.enqueue(name="draw", queue="q").result(LONG)
        drawn.append(number)
        (worker,) = supervisor.workers()
        assert worker.pid == process
        worker.kill()
        wait_until(lambda: [each for each in supervisor.workers() if each.pid != worker.pid], "it is not replaced")  # noqa: B023
    assert len(set(drawn)) == 2
