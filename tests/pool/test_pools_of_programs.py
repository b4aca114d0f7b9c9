"""Pools that programs start: scripts as users write them, run as they run them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import pytest
from pool.running import LONG, wait_until

from tempotask import QueueManager

HEAD = """
import asyncio, json, logging, os, signal, subprocess, sys, threading, time
from pathlib import Path
from tempotask import QueueManager

tempotask = QueueManager.init(concurrency=1, namespace={namespace!r})
"""
Begin = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def begin(server_url: str, namespace: str, tmp_path: Path) -> Iterator[Begin]:
    """Starts a program, a script unless another name is given; what it prints can be read."""
    started: list[subprocess.Popen[str]] = []

    def begin(
        program: str,
        name: str = "program.py",
        start: str = "",
        options: Sequence[str] = (),
        arguments: Sequence[str] = (),
    ) -> subprocess.Popen[str]:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(HEAD.format(namespace=namespace) + program)
        process = subprocess.Popen(
            [sys.executable, *options, str(tmp_path / (start or name)), *arguments],
            cwd=tmp_path,
            env={**os.environ, "TEMPOTASK_DB": server_url},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


SLEEPS = """
@tempotask.task(queue="q")
def sleeps(job, ctx):
    time.sleep(600)

async def main():
    async with tempotask:
        sleeps.enqueue(id="long")
        await asyncio.sleep(600)

if __name__ == "__main__":
    asyncio.run(main())
"""


def test_ctrl_c_as_soon_as_the_pool_begins_to_start_ends_the_program_quietly(begin: Begin) -> None:
    program = begin("""
def ctrl_c():
    while signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        time.sleep(0.0005)
    os.kill(os.getpid(), signal.SIGINT)

if __name__ == "__main__":
    threading.Thread(target=ctrl_c).start()
    tempotask.run()
    print("stopped")
""")
    said, log = program.communicate(timeout=LONG)
    assert (program.returncode, said) == (0, "stopped\n"), log


def test_the_second_ctrl_c_stops_a_pool_at_once_and_what_ran_waits_again(
    begin: Begin, server_url: str, namespace: str
) -> None:
    program = begin(SLEEPS)
    with QueueManager.init(server_url, namespace=namespace) as manager:
        handle = manager.handle("long")

        def runs() -> bool:
            info = manager.get_job_by_id("long")
            return info is not None and info.status == "processing" and info.started_at is not None

        wait_until(runs, "the job does not run")
        tree = psutil.Process(program.pid).children(recursive=True)
        program.send_signal(signal.SIGINT)
        # The supervisor says so when it has heard the first.
        assert program.stderr is not None
        for line in program.stderr:
            if "stopping" in line:
                break
        program.send_signal(signal.SIGINT)
        program.communicate(timeout=LONG)
        psutil.wait_procs(tree, timeout=LONG)
        assert (handle.status(), handle.info().tries) == ("waiting", 0)


def test_a_program_that_runs_its_pool_can_tell_whether_it_was_stopped_by_force(
    begin: Begin, server_url: str, namespace: str
) -> None:
    program = begin("""
@tempotask.task(queue="q")
def sleeps(job, ctx):
    job.progress(1)
    time.sleep(600)

if __name__ == "__main__":
    status = tempotask.run()
    print("run returned", status)
""")
    with QueueManager.init(server_url, namespace=namespace) as manager:
        began = threading.Event()
        manager.on("progress", lambda event: began.set())
        manager.enqueue(name="sleeps", queue="q")
        assert began.wait(LONG), "the job does not run"
    program.send_signal(signal.SIGTERM)
    assert program.stderr is not None
    for line in program.stderr:
        if "stopping" in line:
            break
    program.send_signal(signal.SIGTERM)
    said, _ = program.communicate(timeout=LONG)
    assert said == "run returned 1\n"


@pytest.mark.parametrize(("name", "start"), [("shop/__main__.py", "shop"), ("a:b.py", "a:b.py")])
def test_a_pool_starts_from_a_folder_and_from_a_script_of_any_name(begin: Begin, name: str, start: str) -> None:
    program = begin(
        """
@tempotask.task(queue="q")
def one(job, ctx):
    return 1

async def main():
    async with tempotask:
        print(await one.enqueue())

if __name__ == "__main__":
    asyncio.run(main())
""",
        name,
        start,
    )
    said, log = program.communicate(timeout=LONG)
    assert said == "1\n", log


ALIKE = """
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

given = sys.argv[1:]
sys.argv.remove(given[0])
if "a thread" in given:
    threading.Thread(target=time.sleep, args=(600,), daemon=True).start()

def square(number):
    return number * number

@tempotask.task(queue="q")
def seen(job, ctx):
    return [given, __debug__, sys.warnoptions]

@tempotask.task(queue="q")
def squares(job, ctx):
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(job.data)) as pool:
        return list(pool.map(square, [1, 2, 3]))

async def main():
    sys.argv.insert(1, given[0])
    async with tempotask:
        print(json.dumps([await seen.enqueue(), await squares.enqueue("spawn"), await squares.enqueue("forkserver")]))

if __name__ == "__main__":
    asyncio.run(main())
    os._exit(0)
"""


@pytest.mark.parametrize("how", ["forked", "a thread"])
def test_workers_find_the_arguments_and_options_of_the_program_as_in_multiprocessing(begin: Begin, how: str) -> None:
    program = begin(ALIKE, options=["-O", "-W", "error::UserWarning"], arguments=[how, "é"])
    said, log = program.communicate(timeout=LONG)
    assert program.returncode == 0, log
    assert json.loads(said) == [[[how, "é"], False, ["error::UserWarning"]], [1, 4, 9], [1, 4, 9]]


def test_an_application_is_imported_with_nothing_of_the_supervisors(begin: Begin) -> None:
    """Its own set-up of the log must work, and no pipe of the supervisor's may be kept open by what it starts. What it
    prints meanwhile goes to the log, so the standard output is kept aside."""
    program = begin("""
if __name__ != "__main__":
    others = [os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if int(fd) > 2]
    pipes = [name.rpartition("/")[2] for name in others if "pipe:" in name]
    handlers = logging.getLogger().handlers + logging.getLogger("tempotask").handlers
    Path("seen").write_text(json.dumps([os.readlink("/proc/self/fd/0"), pipes, len(handlers)]))

async def main():
    async with tempotask:
        print(Path("seen").read_text().replace(os.readlink("/proc/self/fd/1"), "the program's output"))

if __name__ == "__main__":
    asyncio.run(main())
""")
    said, log = program.communicate(timeout=LONG)
    assert json.loads(said) == ["/dev/null", ["the program's output"], 0], log


def test_when_the_nursery_of_a_programs_pool_is_killed_what_jobs_left_behind_goes_too(
    begin: Begin, server_url: str, namespace: str
) -> None:
    program = begin("""
@tempotask.task(queue="q")
def leaves(job, ctx):
    started = subprocess.Popen(["sleep", "600"], start_new_session=True)
    forked = os.fork()
    if forked == 0:
        os.setsid()
        while True:
            signal.pause()
    return [os.getpid(), os.getppid(), started.pid, forked]

if __name__ == "__main__":
    tempotask.run()
""")
    with QueueManager.init(server_url, namespace=namespace) as manager:
        worker, nursery, *left = manager.enqueue(name="leaves", queue="q").result(LONG)
        processes = [psutil.Process(pid) for pid in (worker, *left)]
        os.kill(nursery, signal.SIGKILL)
        _, alive = psutil.wait_procs(processes, timeout=LONG)
        assert alive == []
        # Another one has taken its place.
        assert manager.enqueue(name="leaves", queue="q").result(LONG)[1] != nursery
    program.send_signal(signal.SIGTERM)
    program.communicate(timeout=LONG)
    assert program.returncode == 0


def test_hup_has_a_program_that_runs_its_pool_take_up_changed_code(
    begin: Begin, server_url: str, namespace: str, tmp_path: Path
) -> None:
    program = begin("""
@tempotask.task(queue="q")
def version(job, ctx):
    return 1

if __name__ == "__main__":
    tempotask.run()
    print("stopped")
""")
    with QueueManager.init(server_url, namespace=namespace) as manager:
        assert manager.enqueue(name="version", queue="q").result(LONG) == 1
        path = tmp_path / "program.py"
        # Of another length: Python takes what it has compiled in the same second for the same.
        path.write_text(path.read_text().replace("return 1", "return 1 + 1"))
        program.send_signal(signal.SIGHUP)
        wait_until(lambda: manager.enqueue(name="version", queue="q").result(LONG) == 2, "it is as it was")
    program.send_signal(signal.SIGTERM)
    said, log = program.communicate(timeout=LONG)
    assert (program.returncode, said) == (0, "stopped\n"), log


def test_a_service_that_is_stopped_with_all_its_processes_finishes_what_runs(
    begin: Begin, server_url: str, namespace: str, tmp_path: Path
) -> None:
    """As systemd stops one: it sends TERM to all of them, and the program tells its pool as well."""
    os.mkfifo(tmp_path / "gate")
    program = begin("""
@tempotask.task(queue="q")
def waits(job, ctx):
    Path("begun").touch()
    with open("gate"):
        return "finished"

async def main():
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with tempotask:
        waits.enqueue(id="long")
        await stop.wait()

if __name__ == "__main__":
    asyncio.run(main())
""")
    wait_until((tmp_path / "begun").exists, "the job does not run")
    assert program.stderr is not None
    for process in (psutil.Process(program.pid), *psutil.Process(program.pid).children(recursive=True)):
        process.terminate()
    for line in program.stderr:
        if "stopping" in line:
            break
    # Both have been told: by now, or before the job ends.
    gate = os.open(tmp_path / "gate", os.O_RDWR)
    _, log = program.communicate(timeout=LONG)
    os.close(gate)
    assert program.returncode == 0
    assert "told to stop again" not in log
    with QueueManager.init(server_url, namespace=namespace) as manager:
        assert manager.handle("long").result(timeout=LONG) == "finished"


def test_tasks_of_other_modules_than_the_managers_are_known_to_the_workers(
    begin: Begin, namespace: str, tmp_path: Path
) -> None:
    core = f"from tempotask import QueueManager\nmanager = QueueManager.init(concurrency=1, namespace={namespace!r})\n"
    (tmp_path / "core.py").write_text(core)
    (tmp_path / "mails.py").write_text("""
from core import manager

@manager.task(queue="mails")
def send(job, ctx):
    return "sent"
""")
    program = begin("""
import mails
from core import manager

async def main():
    async with manager:
        print(await mails.send.enqueue())

if __name__ == "__main__":
    asyncio.run(main())
""")
    said, log = program.communicate(timeout=LONG)
    assert said == "sent\n", log
