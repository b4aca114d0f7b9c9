"""Arrays between real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pool.running import LONG, Bench, wait_until

from tempotask import Context, InvalidPayload, Job, JobFailed, QueueManager, ResultExpired, WorkerCrashed
from tempotask.arrays import LARGE

HERE = Path(__file__).parent
Files = Callable[..., list[Path]]
MIB = 2**20


def matrix(rows: int = 8, size: int = 4 * MIB) -> np.ndarray:
    return np.arange(size // 8, dtype=float).reshape(rows, -1)


def start(bench: Bench, workers: int = 2) -> None:
    bench.begin(app="app:tempotask", folder=HERE, workers=workers).wait_for("ready: ")


def server_bytes(manager: QueueManager[object]) -> int:
    stats = manager._client.store.server.client().info("stats")
    return int(stats["total_net_input_bytes"]) + int(stats["total_net_output_bytes"])


def test_an_array_handed_to_many_jobs_makes_one_file_and_passes_the_server_by(bench: Bench, ours: Files) -> None:
    start(bench)
    whole, manager = matrix(size=64 * MIB), bench.manager
    before = server_bytes(manager)
    handles = manager.enqueue_many(
        {"name": "sum_of_row", "queue": "arrays", "data": {"matrix": whole, "row": row}} for row in range(8)
    )
    inodes = {path.stat().st_ino for path in ours()}
    assert handles.results(LONG) == [whole[row].sum() for row in range(8)]
    assert len(inodes) == 1
    assert server_bytes(manager) - before < MIB
    wait_until(lambda: len(ours()) == 1, "the links of the jobs are not removed")
    assert ours("kept")
    del whole
    assert not ours()


def test_a_worker_gets_an_array_of_its_own_and_the_caller_gets_a_new_one(bench: Bench, ours: Files) -> None:
    start(bench)
    for size in (800, 4 * MIB):
        given = matrix(1, size)
        handle = bench.manager.enqueue(name="doubled", queue="arrays", data=given)
        back = handle.result(LONG)
        assert np.array_equal(back, matrix(1, size) * 2)
        assert np.array_equal(given, matrix(1, size))
        back += 1
        del given
        wait_until(lambda: not ours(), "files are left")


def test_plain_data_may_have_arrays_anywhere(bench: Bench, ours: Files) -> None:
    start(bench)
    handle = bench.manager.enqueue(name="untyped", queue="arrays", data={"array": matrix(4)})
    result = handle.result(LONG)
    assert result["kind"] == "ndarray"
    assert np.array_equal(result["back"], matrix(4)[::2])
    wait_until(lambda: not ours(), "files are left")


def test_a_job_sees_its_array_as_it_was_when_it_was_enqueued(bench: Bench) -> None:
    changing, expected, handles = matrix(), [], []
    for number in range(3):
        changing[0, 0] = number
        expected.append(changing[0].sum())
        handles.append(bench.manager.enqueue(name="sum_of_row", queue="arrays", data={"matrix": changing}))
    start(bench)
    assert [handle.result(LONG) for handle in handles] == expected


def test_a_try_that_failed_leaves_the_array_to_the_next_as_it_was(bench: Bench, ours: Files) -> None:
    start(bench)
    whole = matrix()
    handle = bench.manager.enqueue(name="third_time_lucky", queue="arrays", data={"matrix": whole})
    assert handle.result(LONG) == matrix().sum()
    wait_until(lambda: not ours("data"), "the file is left")


def test_a_job_whose_worker_was_killed_finds_its_array_again(bench: Bench, ours: Files, tmp_path: Path) -> None:
    bench.begin(app="app:tempotask", folder=tmp_path, environment={"PYTHONPATH": str(HERE)}).wait_for("ready: ")
    handle = bench.manager.enqueue(name="dies_once", queue="arrays", data={"matrix": matrix()})
    assert handle.result(LONG) == matrix().sum()
    wait_until(lambda: not ours("data"), "the file is left")


def test_the_array_of_a_failed_job_goes_with_its_end(bench: Bench, ours: Files) -> None:
    start(bench)
    handle = bench.manager.enqueue(name="fails", queue="arrays", data={"matrix": matrix()})
    with pytest.raises(JobFailed, match="it is meant to"):
        handle.result(LONG)
    wait_until(lambda: not ours("data"), "the file is left")
    assert bench.manager.retry_job_by_id(handle.id)
    with pytest.raises(JobFailed, match=r"InvalidPayload: the array of 4,194,304 bytes is not there any more"):
        bench.manager.handle(handle.id).result(LONG)


def test_jobs_of_a_producer_that_was_killed_find_their_arrays(bench: Bench, ours: Files) -> None:
    program = f"""
        import os, signal, numpy, tempotask
        manager = tempotask.QueueManager.init(db={bench.url!r}, namespace={bench.namespace!r})
        whole = numpy.ones((4, {LARGE}))
        for row in range(4):
            handle = manager.enqueue(name="sum_of_row", queue="arrays", data={{"matrix": whole, "row": row}})
            print(handle.id, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    told = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True)
    assert told.returncode == -signal.SIGKILL
    # What it kept for more jobs may be gone already: any supervisor of this machine, another test's too, removes it.
    assert len(ours("data")) == 4
    start(bench)
    assert [bench.manager.handle(id).result(LONG) for id in told.stdout.split()] == [float(LARGE)] * 4
    wait_until(lambda: not ours(), "what the producer left is still there")


def test_a_large_array_of_a_result_is_for_whoever_reads_it_first(bench: Bench, ours: Files) -> None:
    start(bench)
    handle = bench.manager.enqueue(name="doubled", queue="arrays", data=matrix())
    first = handle.result(LONG)
    assert not ours("result")
    assert handle.result() is first
    del first
    with pytest.raises(ResultExpired, match="who reads the result first takes its large arrays"):
        handle.result()
    assert handle.info().result == "<array of <f8, shape (8, 65536)>"


def test_a_handler_may_pass_its_array_on(bench: Bench, ours: Files) -> None:
    start(bench)
    id = bench.manager.enqueue(name="passes_on", queue="arrays", data=matrix()).result(LONG)
    assert np.array_equal(bench.manager.handle(id).result(LONG), matrix() * 2)
    wait_until(lambda: not ours("data"), "files are left")


def test_each_copy_of_a_publication_has_the_array(bench: Bench, ours: Files) -> None:
    queues = ["arrays", "elsewhere"]
    first, second = bench.manager.publish(name="doubled", queues=queues, data=matrix())
    assert len(ours("data")) == 2
    start(bench)
    assert np.array_equal(first.result(LONG), matrix() * 2)
    with pytest.raises(JobFailed, match="UnknownTask"):
        second.result(LONG)
    assert len(ours("data")) <= 1


def test_what_may_be_added_later_or_again_takes_no_large_array(bench: Bench, ours: Files) -> None:
    start(bench)
    with pytest.raises(JobFailed, match=r" InvalidPayload: data\S* is an array of 800,000 bytes; only jobs"):
        bench.manager.enqueue(name="too_many_in_one", queue="arrays").result(LONG)
    with pytest.raises(InvalidPayload, match=r"^data is an array of 4,194,304 bytes"):
        bench.manager.enqueue(name="doubled", queue="arrays", data=matrix(), options={"repeat": "0 0 1 1 *"})
    assert not ours()


def test_a_killed_job_fails_and_its_file_is_a_leftover(bench: Bench, ours: Files) -> None:
    from tempotask.pool import leftovers

    start(bench)
    handle = bench.manager.enqueue(name="dies", queue="arrays", data={"matrix": matrix()})
    with pytest.raises(WorkerCrashed):
        handle.result(LONG)
    assert len(ours("data")) == 1
    patient, leftovers.PATIENCE = leftovers.PATIENCE, 0.0
    try:
        assert leftovers.clear(bench.store) == 1
    finally:
        leftovers.PATIENCE = patient
    assert not ours()


@pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason="there is no shared memory here")
def test_hosts_may_share_a_folder(bench: Bench, tmp_path: Path, ours: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    monkeypatch.setenv("TEMPOTASK_ARRAYS", str(shared))
    # As on another host: only the folder is the same.
    monkeypatch.setattr("tempotask.machine.mark", lambda: "0" * 12)
    start(bench)
    handle = bench.manager.enqueue(name="doubled", queue="arrays", data=matrix())
    assert list(shared.rglob("data-*"))
    assert not ours()
    assert np.array_equal(handle.result(LONG), matrix() * 2)
    wait_until(lambda: not list(shared.iterdir()), "files are left")


def test_across_hosts_the_error_says_what_to_do(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempotask.machine.mark", lambda: "0" * 12)
    monkeypatch.setattr("socket.gethostname", lambda: "other-host")
    monkeypatch.setattr("tempotask.shelf.SHM", bench.folder)
    handle = bench.manager.enqueue(name="doubled", queue="arrays", data=matrix())
    start(bench)
    with pytest.raises(JobFailed, match=r"4,194,304 bytes is on other-host.* set \$TEMPOTASK_ARRAYS on both, to a"):
        handle.result(LONG)


def test_a_map_takes_and_gives_large_arrays(bench: Bench, ours: Files) -> None:
    start(bench)

    @bench.manager.task(queue="arrays")
    def doubled(job: Job[np.ndarray], ctx: Context[Any]) -> np.ndarray:
        raise AssertionError("workers do it")

    given = (np.full(LARGE, float(n)) for n in range(6))
    sums = [back.sum() for back in doubled.map(given, ordered=True, in_flight=3)]
    assert sums == [2.0 * n * LARGE for n in range(6)]
    wait_until(lambda: not ours(), "files are left")


def test_an_async_caller_gets_arrays_too(bench: Bench, ours: Files) -> None:
    start(bench)

    async def there_and_back() -> np.ndarray:
        handle = await bench.manager.aenqueue(name="doubled", queue="arrays", data=matrix())
        found: np.ndarray = await handle.aresult(LONG)
        return found

    assert np.array_equal(asyncio.run(there_and_back()), matrix() * 2)
    wait_until(lambda: not ours(), "files are left")


def test_calls_that_add_nothing_leave_no_file(bench: Bench, ours: Files) -> None:
    manager = bench.manager
    first = manager.enqueue(name="sum", queue="arrays", data=matrix(), options={"id": "mine", "delay": 3600})
    there = len(ours())
    assert not manager.enqueue(name="sum", queue="arrays", data=matrix() + 1, options={"id": "mine"}).created
    again = {"name": "sum", "queue": "arrays", "options": {"id": "mine"}}
    created = manager.enqueue_many([{**again, "data": matrix() + n} for n in (2, 3)])
    assert [handle.created for handle in created] == [False, False]
    assert len(ours("data")) <= there
    assert first.cancel()
