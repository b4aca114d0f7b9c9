"""joblib and scikit-learn, run by our workers."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from joblib import Parallel, delayed, parallel_config
from pool.running import wait_until

import tempotask.joblib_backend as backend
from tempotask import InvalidOptions, WorkerCrashed, shelf
from tempotask.arrays import LARGE


@pytest.fixture(scope="module", autouse=True)
def _executors(server_url: str) -> Iterator[None]:
    """All of this file's calls go to the tests' server; the executors that they share are ended."""
    with parallel_config(backend="tempotask", n_jobs=2, db=server_url):
        yield
    for executor in backend._executors.values():
        executor.shutdown()
    backend._executors.clear()


@pytest.fixture(autouse=True)
def _no_process_left_behind() -> None:
    """In the place of the look for what a test left: executors stay for the next test, `_executors` ends them."""


@pytest.fixture(autouse=True)
def _no_thread_left_behind() -> None:
    """The same for their threads."""


def files() -> list[Path]:
    """What lies on the shelf of joblib's calls, by this process."""
    gc.collect()
    folder = shelf.SHM / f"tempotask-{os.geteuid()}" / shelf.folder_of(shelf.INLINE, backend.JOB)
    return list(folder.glob("*"))


def server_bytes(url: str) -> int:
    import redis

    with redis.Redis.from_url(url) as client:
        stats: Any = client.info("stats")
    return int(stats["total_net_input_bytes"]) + int(stats["total_net_output_bytes"])


def test_calls_of_closures_and_lambdas_return_in_order() -> None:
    factor = 3
    assert Parallel()(delayed(lambda n: n * factor)(n) for n in range(20)) == [n * 3 for n in range(20)]
    assert set(Parallel(batch_size=1)(delayed(os.getpid)() for _ in range(20))).isdisjoint({os.getpid()})


def test_results_come_one_by_one_where_they_are_asked_for_so() -> None:
    assert list(Parallel(return_as="generator")(delayed(abs)(-n) for n in range(10))) == list(range(10))
    assert sorted(Parallel(return_as="generator_unordered")(delayed(abs)(-n) for n in range(10))) == list(range(10))


def test_grid_search_finds_the_same_as_with_loky() -> None:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import GridSearchCV
    from sklearn.svm import SVC

    data, digits = load_digits(return_X_y=True)
    assert data.nbytes > LARGE
    found = []
    for name in ("tempotask", "loky"):
        with parallel_config(backend=name, n_jobs=2):
            search = GridSearchCV(SVC(), {"C": [1, 10], "gamma": [1e-3, 1e-4]}, cv=3).fit(data, digits)
        found.append(
            (search.best_params_, search.cv_results_["mean_test_score"].tolist(), search.predict(data).tolist())
        )
    assert found[0] == found[1]
    del search, data
    wait_until(lambda: not files(), "files are left")


def test_cross_validation_scores_the_same_as_with_loky() -> None:
    from sklearn.datasets import load_iris
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import cross_val_score

    data, kinds = load_iris(return_X_y=True)
    forest = RandomForestClassifier(10, random_state=0)
    scores = []
    for name in ("tempotask", "loky"):
        with parallel_config(backend=name, n_jobs=2):
            scores.append(cross_val_score(forest, data, kinds, cv=4).tolist())
    assert scores[0] == scores[1]


def test_large_arrays_pass_the_server_by(server_url: str) -> None:
    whole = np.ones(16 * 2**20 // 8)
    Parallel()(delayed(abs)(n) for n in range(4))
    before = server_bytes(server_url)
    back = Parallel(batch_size=1)(delayed(lambda array, n: array * n)(whole, n) for n in range(4))
    assert [array[-1] for array in back] == [0, 1, 2, 3]
    assert server_bytes(server_url) - before < 2**20
    assert all(array.flags.writeable for array in back)
    del whole
    wait_until(lambda: not files(), "files are left")


def test_a_worker_that_dies_fails_its_call_and_the_next_works() -> None:
    whole = np.ones(LARGE)

    def dies(array: Any, n: int) -> float:
        if n == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return float(array.sum())

    with pytest.raises(WorkerCrashed, match="killed by SIGKILL"):
        Parallel(batch_size=1)(delayed(dies)(whole, n) for n in range(8))
    assert Parallel(batch_size=1)(delayed(dies)(whole, 0) for _ in range(4)) == [float(LARGE)] * 4
    del whole
    wait_until(lambda: not files(), "files are left")


def test_an_error_ends_the_calls_that_run(tmp_path: Path) -> None:
    def begins_and_stays(folder: Path, n: int) -> None:
        if n == 0:
            (folder / "pid").write_text(str(os.getpid()))
            threading.Event().wait()
        while not (folder / "pid").exists():
            time.sleep(0.01)
        raise KeyError("the second call")

    with pytest.raises(KeyError, match="the second call"):
        Parallel(batch_size=1)(delayed(begins_and_stays)(tmp_path, n) for n in range(2))
    pid = int((tmp_path / "pid").read_text())
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), "the call that nobody waits for runs on")
    assert Parallel()(delayed(abs)(-n) for n in range(4)) == [0, 1, 2, 3]


def test_calls_within_calls_run_in_threads_of_the_worker() -> None:
    def outer(n: int) -> tuple[int, set[int]]:
        return os.getpid(), set(Parallel(n_jobs=2)(delayed(os.getpid)() for _ in range(4)))

    assert all(inner == {pid} for pid, inner in Parallel(batch_size=1)(delayed(outer)(n) for n in range(4)))


def test_inner_threads_are_limited_where_it_is_asked_for(server_url: str) -> None:
    def threads() -> set[int]:
        from threadpoolctl import threadpool_info

        np.ones((10, 10)) @ np.ones((10, 10))
        return {library["num_threads"] for library in threadpool_info()}

    with parallel_config(backend="tempotask", n_jobs=2, db=server_url, inner_max_num_threads=1):
        assert Parallel(batch_size=1)(delayed(threads)() for _ in range(2)) == [{1}, {1}]


def test_one_job_at_a_time_needs_no_workers() -> None:
    assert Parallel(n_jobs=1)(delayed(os.getpid)() for _ in range(2)) == [os.getpid()] * 2


def test_what_makes_no_sense_is_refused(server_url: str) -> None:
    with pytest.raises(InvalidOptions, match="n_jobs == 0 in Parallel has no meaning"):
        Parallel(n_jobs=0)(delayed(abs)(n) for n in range(2))
    with pytest.raises(TypeError, match="nonsense"), parallel_config(backend="tempotask", nonsense=1):
        pass


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_calls_that_are_given_up_leave_no_file() -> None:
    def large(n: int) -> np.ndarray:
        if n == 3:
            raise KeyError("the fourth call")
        return np.ones(LARGE)

    for _ in range(5):
        with pytest.raises(KeyError, match="the fourth call"):
            Parallel(batch_size=1)(delayed(large)(n) for n in range(8))
        for one in Parallel(batch_size=1, return_as="generator")(delayed(large)(n) for n in range(3)):
            del one
            break
    wait_until(lambda: not [file for file in files() if file.name.startswith("result")], "results are left")


def test_a_script_without_a_guard_is_told_of_it_and_runs_once(server_url: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("""
from joblib import Parallel, delayed
import tempotask.joblib_backend
from joblib import parallel_config
def double(n): return 2 * n
with parallel_config(backend="tempotask", n_jobs=2):
    print(Parallel()(delayed(double)(n) for n in range(3)), flush=True)
""")
    environment = {**os.environ, "TEMPOTASK_DB": server_url}
    told = subprocess.run(
        [sys.executable, str(script)], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert (told.returncode, told.stdout) == (1, "")
    assert 'put what submits them under if __name__ == "__main__":' in told.stderr
