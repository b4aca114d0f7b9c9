"""The workers of a nursery, with real processes. The applications are in the folder `apps`."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable

import psutil
import pytest
from pool.owner import Owner, descriptors, gone, living, ready
from pool.running import LONG

from tempotask.pool.pool import Died, Dying, Imported
from tempotask.pool.report import WorkerSpec

MANY = 450
"""Workers: more than a socket has room to ask for and to answer."""


def ask_for_many(owner: Owner) -> None:
    for number in range(MANY):
        owner.pool.ask_for(WorkerSpec(f"w{number}", "s1", "redis://h/1", "leave 0", owner.wake_fd))


def test_hundreds_of_workers_may_be_asked_for_at_once(own: Callable[..., Owner]) -> None:
    owner = own("plain:app")
    owner.wait_for(Imported)
    asked = threading.Thread(target=ask_for_many, args=(owner,), daemon=True)
    asked.start()
    asked.join(LONG)
    assert not asked.is_alive(), "each side waits for the other to read"
    ended = [owner.wait_for(Died) for _ in range(MANY)]
    assert {event.status.code for event in ended} == {0}


def test_a_worker_leads_its_group_has_its_title_and_spec_and_nothing_of_the_nursery(own: Callable[..., Owner]) -> None:
    owner = own("plain:app")
    owner.wait_for(Imported)
    first = ready(owner, "wait")
    worker = owner.ask("tell")
    told = json.loads(owner.answer())
    assert told["argv"] == f"tempotask: worker {worker.id}"
    assert told["pid"] == told["group"] == worker.pid
    assert told["spec"] == [worker.id, "s1", "redis://h/1", "tell"]
    assert told["imported_in"] == owner.pool.pid
    assert told["omp"] == "1"
    assert worker.block.words[8] == 4242
    assert sum("socket:" in fd for fd in told["fds"]) == 0
    assert sum("pidfd" in fd or "eventpoll" in fd for fd in told["fds"]) == 0
    assert sum("tempotask-block" in fd for fd in told["fds"]) <= 2
    assert first.pid != worker.pid


def test_the_environment_has_the_last_word_on_threads_of_libraries(own: Callable[..., Owner]) -> None:
    owner = own("plain:app", {"OMP_NUM_THREADS": "3"})
    owner.wait_for(Imported)
    owner.ask("tell")
    assert json.loads(owner.answer())["omp"] == "3"


@pytest.mark.parametrize(
    ("mode", "code"), [("flush_badly 3", 3), (f"leave_by_sys_exit {2**70 + 4}", 4), (f"leave {-(2**70)}", 0)]
)
def test_a_worker_that_ends_in_an_odd_way_ends_nobody_else(own: Callable[..., Owner], mode: str, code: int) -> None:
    owner = own("plain:app")
    owner.wait_for(Imported)
    other = ready(owner, "wait")
    assert owner.wait_for(Died, owner.ask(mode)).status.code == code
    assert owner.wait_for(Died, owner.ask("leave 5")).status.code == 5
    assert not [event for event in owner.told if isinstance(event, Dying | Died) and event.worker is other]
    assert psutil.Process(other.pid).status() != psutil.STATUS_ZOMBIE


@pytest.mark.parametrize(("mode", "code"), [("leave 0", 0), ("leave 5", 5), ("leave_by_sys_exit 6", 6), ("fail", 70)])
def test_how_a_worker_left_is_told(
    own: Callable[..., Owner], mode: str, code: int, capfd: pytest.CaptureFixture[str]
) -> None:
    owner = own("plain:app")
    owner.wait_for(Imported)
    worker = owner.ask(mode)
    status = owner.wait_for(Died, worker).status
    assert (status.code, status.signal, str(status)) == (code, None, f"exited with {code}")
    assert owner.pool.workers == {}
    assert ("RuntimeError: out of work()" in capfd.readouterr().err) == (mode == "fail")


def test_a_killed_worker_is_seen_at_once_and_the_signal_is_told(own: Callable[..., Owner]) -> None:
    owner = own("plain:app")
    owner.wait_for(Imported)
    worker = ready(owner, "wait")
    worker.signal(signal.SIGKILL)
    assert owner.wait_for(Dying, worker).worker.state == "ending"
    status = owner.wait_for(Died, worker).status
    assert (status.code, status.signal, str(status)) == (None, signal.SIGKILL, "was killed by SIGKILL")
    worker.kill_group()  # late, and without harm


def test_a_worker_that_is_looked_at_stands_still_and_can_be_shrunk(own: Callable[..., Owner]) -> None:
    owner = own("plain:app")
    owner.wait_for(Imported)
    worker = ready(owner, "step")
    with worker.look() as look:
        assert look is not None
        assert look.turn == 7
        assert worker.block.read() == worker.block.read() == look
        assert worker.block.shrink() == look.unstarted
    seen = worker.block.words[1]
    until = time.monotonic() + LONG
    while worker.block.words[1] == seen:
        assert time.monotonic() < until
    worker.kill_group()
    owner.wait_for(Died, worker)
    with worker.look() as look:
        assert look is None
    assert worker.block.read().turn == 7


def test_what_a_terminal_sends_to_all_leaves_nursery_and_workers_alone(own: Callable[..., Owner]) -> None:
    owner = own("plain:app")
    owner.wait_for(Imported)
    worker = ready(owner, "wait")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(owner.pool.pid, number)
        worker.signal(number)
    second = ready(owner, "wait")
    assert list(owner.pool.workers.values()) == [worker, second]
    assert psutil.pid_exists(worker.pid)


def test_what_a_handler_starts_can_be_ended_by_term(own: Callable[..., Owner]) -> None:
    owner = own("plain:app")
    owner.wait_for(Imported)
    owner.ask("end_a_child_by_term")
    assert owner.answer() == "-15 -15"


def test_what_a_handler_left_behind_dies_with_its_worker_and_no_other_worker_does(own: Callable[..., Owner]) -> None:
    owner = own("plain:app")
    owner.wait_for(Imported)
    other = ready(owner, "daemonise")
    worker = ready(owner, "daemonise")
    mine, others = (living(psutil.Process(one.pid)) for one in (worker, other))
    assert len(mine) == len(others) == 1
    assert os.getsid(mine[0].pid) != os.getsid(worker.pid)
    worker.signal(signal.SIGKILL)
    owner.wait_for(Died, worker)
    assert gone(mine, within=LONG)
    assert others[0].is_running()
    assert list(owner.pool.workers.values()) == [other]


def test_the_end_of_a_pool_whose_nursery_was_stopped_ends_what_only_that_knows(
    own: Callable[..., Owner],
) -> None:
    owner = own("plain:app")
    owner.wait_for(Imported)
    worker = ready(owner, "daemonise hidden")
    (hidden,) = living(psutil.Process(worker.pid))
    psutil.Process(owner.pool.pid).suspend()
    owner.pool.end()
    assert gone([hidden], within=LONG)


def test_what_the_import_started_is_left_alone_until_the_end(own: Callable[..., Owner]) -> None:
    owner = own("helped:app")
    helper = psutil.Process(int(owner.wait_for(Imported).report.namespace))
    worker = ready(owner, "daemonise")
    worker.signal(signal.SIGKILL)
    owner.wait_for(Died, worker)
    ready(owner, "wait")
    assert helper.is_running()
    owner.pool.end()
    assert gone([helper], within=LONG)


def test_fifty_births_and_deaths_leave_no_descriptor_and_no_process(own: Callable[..., Owner]) -> None:
    owner = own("plain:app")
    owner.wait_for(Imported)
    nursery = psutil.Process(owner.pool.pid)

    def born_and_died() -> None:
        worker = owner.ask("leave 0")
        owner.wait_for(Died, worker)
        owner.told.clear()

    born_and_died()
    before, watched = [descriptors(pid) for pid in (os.getpid(), nursery.pid)], len(owner.selector.get_map())
    for _ in range(50):
        born_and_died()
    after = [descriptors(pid) for pid in (os.getpid(), nursery.pid)]
    assert not after[0] - before[0]
    assert not after[1] - before[1]
    assert len(owner.selector.get_map()) == watched
    assert nursery.children() == []


def test_an_idle_nursery_uses_no_processor_time(own: Callable[..., Owner]) -> None:
    owner = own("plain:app")
    owner.wait_for(Imported)
    ready(owner, "wait")
    nursery = psutil.Process(owner.pool.pid)
    switches = nursery.num_ctx_switches().voluntary
    time.sleep(1)  # there is nothing to wait for: that is what is tested
    assert nursery.num_ctx_switches().voluntary - switches <= 1
