"""How a pool ends, or its nursery, or its supervisor: nothing is left of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import IO

import psutil
import pytest
from pool.owner import APPS, Owner, descriptors, gone, living, ready, title
from pool.running import LONG

from tempotask.pool.pool import Died, Imported, NurseryDied
from tempotask.pool.report import ExitStatus


def test_two_pools_live_side_by_side_and_end_each_for_itself(own: Callable[..., Owner]) -> None:
    old, new = own("plain:app"), own("two:second")
    old.wait_for(Imported)
    new.wait_for(Imported)
    one, other = ready(old, "wait"), ready(new, "wait")
    process = psutil.Process(one.pid)
    old.pool.end()
    assert gone([process], within=LONG)
    assert ready(new, "wait").pid
    assert psutil.Process(other.pid).status() != psutil.STATUS_ZOMBIE


def test_when_the_nursery_is_killed_its_workers_and_what_they_left_behind_go_too(own: Callable[..., Owner]) -> None:
    owner, beside = own("plain:app"), own("two:first")
    owner.wait_for(Imported)
    beside.wait_for(Imported)
    ready(beside, "wait")
    workers = [ready(owner, "regex"), ready(owner, "daemonise")]
    processes = living(psutil.Process(owner.pool.pid))
    assert len(processes) == 4
    own_child = subprocess.Popen(["sleep", "600"], start_new_session=True)
    os.kill(owner.pool.pid, signal.SIGKILL)
    deaths = [owner.wait_for(Died, worker).status for worker in workers]
    assert [status.signal for status in deaths] == [signal.SIGKILL, signal.SIGKILL]
    assert owner.wait_for(NurseryDied).status.signal == signal.SIGKILL
    assert gone(processes, within=LONG)
    assert owner.pool.workers == {}
    assert own_child.poll() is None, "the supervisor's other children are not the nursery's"
    own_child.kill()
    own_child.wait()
    ready(beside, "wait")


@pytest.fixture
def boss(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple[psutil.Process, IO[str]]]]:
    """Starts another process that owns a pool with one worker, and gives what it says."""
    monkeypatch.chdir(APPS)
    started: list[subprocess.Popen[str]] = []

    def start(application: str, mode: str) -> tuple[psutil.Process, IO[str]]:
        process = subprocess.Popen(
            [sys.executable, str(APPS / "boss.py"), application, mode], stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout is not None
        return psutil.Process(process.pid), process.stdout

    yield start
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@pytest.mark.parametrize("application", ["plain:app", "threaded:app"])
@pytest.mark.parametrize("mode", ["regex", "daemonise"])
def test_soon_after_the_kill_of_the_supervisor_nothing_is_left(
    boss: Callable[..., tuple[psutil.Process, IO[str]]], application: str, mode: str
) -> None:
    process, says = boss(application, mode)
    assert says.readline().startswith("nursery")
    assert says.readline() == "ready\n"
    tree = living(process)
    assert len(tree) == 3
    process.kill()
    assert gone(tree, within=LONG / 2)  # 0.5 s on a machine that has nothing else to do


def test_a_supervisor_that_is_killed_during_an_endless_import_takes_the_nursery_along(
    boss: Callable[..., tuple[psutil.Process, IO[str]]],
) -> None:
    process, says = boss("hangs:app", "wait")
    nursery = psutil.Process(int(says.readline().split()[1]))
    until = time.monotonic() + LONG
    while title(nursery) != "tempotask: nursery hangs:app":
        assert time.monotonic() < until
        time.sleep(0.01)
    process.kill()
    assert gone([nursery], within=LONG)


def test_a_pool_whose_nursery_hangs_in_an_import_can_be_ended(own: Callable[..., Owner]) -> None:
    owner = own("hangs:app")
    nursery = psutil.Process(owner.pool.pid)
    owner.pool.end()
    assert gone([nursery], within=LONG)


def test_the_end_of_a_pool_leaves_no_descriptor(own: Callable[..., Owner]) -> None:
    own("plain:app").wait_for(Imported)
    before = descriptors(os.getpid())
    for _ in range(3):
        owner = Owner("plain:app")
        owner.wait_for(Imported)
        ready(owner, "daemonise")
        owner.told.clear()
        owner.close()
        owner.close = lambda: None  # type: ignore[method-assign]
    assert not descriptors(os.getpid()) - before


def test_an_exit_status_says_what_happened() -> None:
    assert str(ExitStatus(signal=11, dumped_core=True)) == "was killed by SIGSEGV and dumped core"
    assert str(ExitStatus()) == "ended, nobody knows how"
