"""`tempotask run-here`: one job's handler in the foreground."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tempotask import QueueManager
from tempotask.store.records import Registration, encode

Ended = subprocess.CompletedProcess[str]
Run = Callable[..., Ended]

APP = """
import os
from tempotask import Context, Job, QueueManager

tempotask = QueueManager.init()

@tempotask.task(queue="q")
def double(job: Job[int], ctx: Context) -> int:
    job.logger(f"try {job.attempt} of {job.id}")
    return 2 * job.data

@tempotask.task(queue="q", attempts=5)
def fail(job: Job[None], ctx: Context) -> None:
    raise LookupError("no such thing")

@tempotask.task(queue="q")
def size(job: Job[bytes], ctx: Context) -> int:
    return len(job.data)

@tempotask.task(queue="q")
def parent(job: Job[None], ctx: Context) -> str:
    ctx.enqueue(name="double", queue="q", data=1)
    ctx.publish(name="double", queues=["q"], data=1, on_success=True)
    tempotask.enqueue_many([{"name": "double", "queue": "q", "data": 1}] * 2)
    return "added"

@tempotask.task(queue="q")
def talk(job: Job[None], ctx: Context) -> str:
    print("printed")
    os.write(1, b"written\\n")
    return "said"

@tempotask.task(queue="q")
def waits(job: Job[None], ctx: Context) -> int:
    return ctx.enqueue(name="double", queue="q", data=1).result(20)

@tempotask.task(queue="q")
async def later(job: Job[int], ctx: Context) -> int:
    import asyncio
    await asyncio.sleep(0)
    return 3 * job.data

@tempotask.task(queue="q")
def threads(job: Job[str], ctx: Context) -> str:
    return os.environ[job.data]
"""


WAITING = """
@tempotask.task(queue="q")
def wait(job: Job[None], ctx: Context) -> None:
    import time
    print("here", flush=True)
    while True:
        time.sleep(0.1)

@tempotask.task(queue="q")
async def await_(job: Job[None], ctx: Context) -> None:
    import asyncio
    print("here", flush=True)
    await asyncio.Event().wait()
"""


@pytest.fixture
def command(server_url: str, namespace: str) -> list[str]:
    return [sys.executable, "-m", "tempotask.cli", "run-here", "--db", server_url, "--namespace", namespace]


@pytest.fixture
def run(command: list[str], tmp_path: Path) -> Run:
    """Types the command in the application's folder."""
    (tmp_path / "app.py").write_text(APP)

    def run(*arguments: str, folder: Path = tmp_path) -> Ended:
        return subprocess.run(
            [*command, *arguments], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
        )

    return run


def test_it_prints_the_result_and_leaves_the_job_where_it_is(manager: QueueManager[Any], run: Run) -> None:
    handle = manager.enqueue(name="double", queue="q", data=21)
    before = handle.info()
    ended = run(handle.id, "--app", "app:tempotask")
    assert (ended.returncode, ended.stdout) == (0, "42\n"), ended.stderr
    assert f"logged: try 1 of {handle.id}" in ended.stderr
    assert handle.info() == before
    assert [job.id for job in manager.get_jobs()] == [handle.id]


def test_a_failure_is_shown_with_its_traceback(manager: QueueManager[Any], run: Run) -> None:
    handle = manager.enqueue(name="fail", queue="q")
    ended = run(handle.id, "--app", "app:tempotask")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert 'raise LookupError("no such thing")' in ended.stderr
    assert ended.stderr.endswith("LookupError: no such thing\n")
    assert handle.status() == "waiting"


def test_json_is_one_object(manager: QueueManager[Any], run: Run) -> None:
    good, bad = (manager.enqueue(name=name, queue="q", data=data) for name, data in (("double", 4), ("fail", None)))
    told = json.loads(run(good.id, "--app", "app:tempotask", "--json").stdout)
    assert (told["id"], told["status"], told["result"]) == (good.id, "completed", 8)
    told = json.loads(run(bad.id, "--app", "app:tempotask", "--json").stdout)
    assert (told["status"], told["error"]) == ("failed", "LookupError: no such thing")


def test_what_the_handler_prints_is_no_json(manager: QueueManager[Any], run: Run) -> None:
    ended = run(manager.enqueue(name="talk", queue="q").id, "--app", "app:tempotask", "--json")
    assert json.loads(ended.stdout)["result"] == "said"
    assert {"printed", "written"} <= {*ended.stderr.splitlines()}


def test_a_handler_that_waits_for_a_job_that_was_not_added_is_told_so(manager: QueueManager[Any], run: Run) -> None:
    ended = run(manager.enqueue(name="waits", queue="q").id, "--app", "app:tempotask")
    assert ended.returncode == 1
    assert "was not added, as nothing is while a job runs here, so it has no result" in ended.stderr.splitlines()[-1]


def test_large_data_are_fetched(manager: QueueManager[Any], run: Run) -> None:
    handle = manager.enqueue(name="size", queue="q", data=b"x" * 100_000)
    assert run(handle.id, "--app", "app:tempotask").stdout == "100000\n"


def test_an_async_handler_runs_in_a_loop(manager: QueueManager[Any], run: Run) -> None:
    handle = manager.enqueue(name="later", queue="q", data=5)
    assert run(handle.id, "--app", "app:tempotask").stdout == "15\n"


def test_numeric_libraries_get_as_many_threads_as_in_a_worker(
    manager: QueueManager[Any], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    handle = manager.enqueue(name="threads", queue="q", data="OPENBLAS_NUM_THREADS")
    for said, told in (("", "1\n"), ("3", "3\n")):
        monkeypatch.setenv("OMP_NUM_THREADS", said)
        assert run(handle.id, "--app", "app:tempotask").stdout == told


def test_jobs_that_the_handler_adds_are_told_and_not_added(manager: QueueManager[Any], run: Run) -> None:
    handle = manager.enqueue(name="parent", queue="q")
    ended = run(handle.id, "--app", "app:tempotask")
    assert (ended.returncode, ended.stdout) == (0, "added\n"), ended.stderr
    assert ended.stderr.count("not added: q/double ") == 4
    assert [job.id for job in manager.get_jobs()] == [handle.id]


def test_the_application_is_that_of_a_supervisor_which_declares_the_task(
    manager: QueueManager[Any], run: Run, tmp_path: Path, short_path: Path
) -> None:
    handle = manager.enqueue(name="double", queue="q", data=21)
    told = Registration("h", "b", 1, 0.0, [("q", "double")], 1, [], "app:tempotask", str(tmp_path))
    manager._client.store.register("s1", 600, encode(told))
    ended = run(handle.id, folder=short_path)
    assert (ended.returncode, ended.stdout) == (0, "42\n"), ended.stderr


@pytest.mark.parametrize(
    ("name", "arguments", "status", "line"),
    [
        ("double", (), 2, "declares q/double; say where it is, as in --app app:tempotask"),
        ("other", ("--app", "app:tempotask"), 2, "app:tempotask has no task 'other' in queue 'q'; it declares q/do"),
        ("double", ("--app", "ap:tempotask"), 2, "did you mean app"),
    ],
)
def test_what_is_missing_is_one_clear_line(
    manager: QueueManager[Any], run: Run, name: str, arguments: tuple[str, ...], status: int, line: str
) -> None:
    ended = run(manager.enqueue(name=name, queue="q", data=1).id, *arguments)
    assert ended.returncode == status
    assert line in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_job_nobody_knows_is_a_no(run: Run) -> None:
    ended = run("nothing", "--app", "app:tempotask")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "nobody knows a job 'nothing'" in ended.stderr


@pytest.mark.parametrize("name", ["wait", "await_"])
def test_ctrl_c_ends_it_without_a_traceback(
    manager: QueueManager[Any], command: list[str], tmp_path: Path, name: str
) -> None:
    (tmp_path / "app.py").write_text(APP + WAITING)
    typed = [*command, manager.enqueue(name=name, queue="q").id, "--app", "app:tempotask"]
    with subprocess.Popen(
        typed, cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as program:
        try:
            assert program.stdout is not None
            assert program.stdout.readline() == "here\n"
            program.send_signal(signal.SIGINT)
            out, err = program.communicate(timeout=60)
        finally:
            program.kill()
    assert (program.returncode, out, err.count("\n")) == (130, "", 1)
    assert err.startswith("running job ")
