"""A host that refuses: descriptors, processes, shared memory, a file system that can be written to."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pool.running import LONG, Bench, Supervisor, wait_until
from torture import host

Make = Callable[[str], Bench]
APPLICATION = """
from typing import Any

from tempotask import Context, Job, QueueManager

tempotask = QueueManager.init()


@tempotask.task(queue="q")
def double(job: Job[int], ctx: Context[Any]) -> int:
    return 2 * job.data
"""
SLOWLY_BORN = f"""
import os
import time

os.register_at_fork(before=lambda: time.sleep(0.15))
{APPLICATION}
"""
_first = 61_000 + os.getpid() % 400 * 20
_uids = iter(range(_first, _first + 20))
"""Others than those of a process beside this one that runs tests too."""


@pytest.fixture
def uid() -> int:
    """A user that has no process."""
    return next(_uids)


def works(bench: Bench, number: int = 300) -> None:
    """That jobs run and all their results come."""
    handles = bench.manager.enqueue_many({"name": "echo", "queue": "q", "data": n} for n in range(number))
    assert handles.results(timeout=LONG) == list(range(number))


def test_with_64_descriptors_eight_workers_run_and_are_replaced(
    start_server: Callable[..., Any], make_bench: Make
) -> None:
    bench = make_bench(start_server().url)
    supervisor = bench.begin(workers=8, through=host.descriptors(64))
    supervisor.wait_for("ready: ")
    for _ in range(10):
        handle = bench.manager.enqueue(name="hold", queue="q")
        _, _, pid = bench.hear()
        os.kill(int(pid), signal.SIGKILL)
        bench.hear()
        bench.open_gate()
        assert handle.result(timeout=LONG) == 1
    works(bench)
    assert supervisor.stop() == 0


def test_more_workers_than_there_are_descriptors_for_is_said_in_one_line(
    start_server: Callable[..., Any], make_bench: Make
) -> None:
    bench = make_bench(start_server().url)
    supervisor = bench.begin(workers=40, through=host.descriptors(64))
    told = supervisor.wait_for("can't be started")
    assert "Too many open files: the limit of descriptors is reached; raise it (`ulimit -n`)" in told
    assert supervisor.end() == 2
    assert "Traceback" not in supervisor.log
    assert supervisor.lines[-1].startswith("tempotask-supervisor: workers can't be started")


def test_workers_that_are_slow_to_be_born_do_not_take_the_descriptors_that_the_supervisor_needs_itself(
    start_server: Callable[..., Any], make_bench: Make, tmp_path: Path
) -> None:
    (tmp_path / "slow.py").write_text(SLOWLY_BORN)
    bench = make_bench(start_server().url)
    supervisor = bench.begin(app="slow:tempotask", folder=tmp_path, workers=40, through=host.descriptors(64))
    supervisor.wait_for("can't be started")
    # Meanwhile it looks at the nursery, which keeps it waiting.
    assert supervisor.end() == 2, supervisor.log
    assert "Traceback" not in supervisor.log


def test_while_the_system_refuses_to_fork_a_dead_worker_is_replaced_with_growing_pauses(
    start_server: Callable[..., Any], make_bench: Make, uid: int
) -> None:
    bench = make_bench(start_server().url)
    supervisor = bench.begin(workers=2, through=host.processes(4096, uid))
    supervisor.wait_for("ready: ")
    nursery = supervisor.nursery()
    handle = bench.manager.enqueue(name="hold", queue="q")
    _, _, pid = bench.hear()
    host.allow_processes(1, uid, nursery.pid)
    os.kill(int(pid), signal.SIGKILL)
    # The other worker takes the job up.
    bench.hear()
    told = supervisor.wait_for("could not start worker")
    assert "Resource temporarily unavailable: the limit of processes and threads (`ulimit -u`" in told
    pauses = [float(supervisor.wait_for("the next one starts in").split()[-2]) for _ in range(4)]
    assert pauses == [0.1, 0.2, 0.4, 0.8]
    assert not supervisor.about("(pid 0)")
    host.allow_processes(4096, uid, nursery.pid)
    wait_until(lambda: len(supervisor.workers()) == 2, "it is not replaced when it may be")
    bench.open_gate()
    assert handle.result(timeout=LONG) == 1
    works(bench)
    assert supervisor.stop() == 0


def test_a_nursery_that_can_not_be_forked_again_is_when_it_may_be(
    start_server: Callable[..., Any], make_bench: Make, uid: int
) -> None:
    bench = make_bench(start_server().url)
    supervisor = bench.begin(workers=1, through=host.processes(4096, uid))
    supervisor.wait_for("ready: ")
    host.allow_processes(1, uid, supervisor.process.pid)
    supervisor.nursery().kill()
    assert "can't be started: Resource temporarily unavailable" in supervisor.wait_for("trying again in")
    host.allow_processes(4096, uid, supervisor.process.pid)
    wait_until(supervisor.workers, "it does not come back")
    works(bench)
    assert supervisor.stop() == 0


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_supervisor_that_may_not_have_the_processes_that_it_needs_says_so_and_ends(
    start_server: Callable[..., Any], make_bench: Make, uid: int, number: int
) -> None:
    bench = make_bench(start_server().url)
    supervisor = bench.begin(workers=2, through=host.processes(number, uid))
    assert supervisor.end() == 2
    assert "the limit of processes and threads (`ulimit -u`" in supervisor.log
    assert "Traceback" not in supervisor.log
    assert supervisor.lines[-1].startswith("tempotask-supervisor: ")


def test_without_shared_memory_in_the_file_system_all_works(start_server: Callable[..., Any], make_bench: Make) -> None:
    bench, through = make_bench(start_server().url), host.without_shared_memory()
    assert subprocess.run([*through, "touch", "/dev/shm/file"], capture_output=True).returncode != 0
    supervisor = bench.begin(workers=2, through=through)
    supervisor.wait_for("ready: ")
    works(bench)
    assert supervisor.stop() == 0


@pytest.fixture
def application(short_path: Path) -> Path:
    """A folder with an application that keeps nothing."""
    folder = short_path / "app"
    folder.mkdir()
    (folder / "app.py").write_text(APPLICATION)
    return folder


def tempotask(folder: Path, *arguments: str, through: list[str] | None = None) -> subprocess.CompletedProcess[str]:
    """The command, in that folder."""
    command = [*(through or ()), sys.executable, "-m", "tempotask.cli", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=LONG)


def test_a_folder_in_which_the_embedded_server_can_not_write_is_said_in_one_line(application: Path) -> None:
    through = host.read_only(application)
    told = tempotask(application, "enqueue", "q", "double", "--data", "1", through=through)
    assert told.returncode == 2
    (line,) = told.stderr.splitlines()
    assert re.search(r"can't keep its data in .*/\.tempotask: Read-only file system\. \$TEMPOTASK_HOME names", line)
    supervisor = Supervisor(["app:tempotask"], application, dict(os.environ), through)
    assert supervisor.end() == 2
    assert "Read-only file system" in supervisor.lines[-1]
    assert "Traceback" not in supervisor.log


def test_in_a_home_and_a_working_directory_that_can_not_be_written_to_all_works_with_a_server_elsewhere(
    start_server: Callable[..., Any], application: Path, namespace: str, tmp_path: Path
) -> None:
    server = start_server()
    home = tmp_path / "home"
    home.mkdir()
    through = host.read_only(application, home)
    where = ("--db", server.url, "--namespace", namespace)
    environment = {**os.environ, "HOME": str(home)}
    supervisor = Supervisor(["app:tempotask", "--concurrency", "1", *where], application, environment, through)
    supervisor.wait_for("ready: ")
    told = tempotask(application, "enqueue", "q", "double", "--data", "21", *where, through=through)
    assert told.returncode == 0, told.stderr
    id = told.stdout.strip()
    wait_until(lambda: "42" in tempotask(application, "job", id, *where, "--json").stdout, "it does not run")
    assert supervisor.stop() == 0
    assert sorted(path.name for path in application.iterdir()) == ["app.py"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_path_of_200_characters_with_spaces_and_umlauts_does_for_everything(short_path: Path) -> None:
    folder = short_path
    while len(str(folder)) < 160:
        folder /= "Ärger mit Öl und Übermut"
    folder /= "x" * (199 - len(str(folder)))
    folder.mkdir(parents=True)
    assert len(str(folder)) == 200
    (folder / "größe app.py").write_text(APPLICATION)
    (folder / "app.py").write_text(APPLICATION)
    for application in ("app:tempotask", "größe app.py:tempotask", f"{folder}/größe app.py:tempotask"):
        told = tempotask(folder, "enqueue", "q", "double", "--data", "21")
        assert told.returncode == 0, told.stderr
        supervisor = Supervisor([application, "--concurrency", "1", "--drain"], folder, dict(os.environ))
        assert supervisor.end() == 0, supervisor.log
        shown = tempotask(folder, "job", told.stdout.strip(), "--json").stdout
        assert '"status":"completed"' in shown.replace(" ", "")
        assert "42" in shown
    assert (folder / ".tempotask" / "appendonlydir").is_dir()
