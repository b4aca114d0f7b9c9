"""The nursery and the pool over it, with real processes. The applications are in the folder `apps`."""

from __future__ import annotations

import gc
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TypeVar

import psutil
import pytest
from pool.running import LONG

from tempotask.pool.pool import (
    Born,
    Died,
    Dying,
    Event,
    Imported,
    ImportFailed,
    NurseryDied,
    UnifiedWorkerPool,
    Warned,
    WorkerProcess,
)
from tempotask.pool.report import ExitStatus, WorkerSpec

APPS = Path(__file__).parent / "apps"
T = TypeVar("T", bound=Event)


class Owner:
    """Owns a pool as a supervisor does: one loop, and all that the pool has told."""

    def __init__(self, application: str, environment: dict[str, str] | None = None) -> None:
        self.pool = UnifiedWorkerPool(application, environment={**os.environ, **(environment or {})})
        self.selector = selectors.DefaultSelector()
        self.told: list[Event] = []
        self.answers, self.wake_fd = os.pipe()
        self._born = 0
        self.pool.start()
        self.pool.register(self.selector)

    def wait_for(self, kind: type[T], worker: WorkerProcess | None = None, within: float = LONG) -> T:
        """The first event of a kind (of a worker) that has not been waited for yet."""
        until = time.monotonic() + within
        while True:
            for event in self.told:
                if isinstance(event, kind) and worker in (None, getattr(event, "worker", None)):
                    self.told.remove(event)
                    return event
            assert time.monotonic() < until, f"no {kind.__name__}, but {self.told}"
            for key, _ in self.selector.select(0.1):
                assert key.data is self.pool
                self.told += self.pool.events(key)

    def ask(self, mode: str) -> WorkerProcess:
        self._born += 1
        spec = WorkerSpec(f"w{self._born}", "s1", "redis://h/1", "ns", mode.encode(), self.wake_fd)
        self.pool.ask_for(spec)
        return self.wait_for(Born).worker

    def answer(self) -> str:
        text = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self.answers, selectors.EVENT_READ)
            while not text.endswith(b"\n"):
                assert selector.select(LONG), "the worker does not answer"
                text += os.read(self.answers, 65536)
        return text.decode().strip()

    def close(self) -> None:
        self.pool.end()
        self.selector.close()
        os.close(self.answers)
        os.close(self.wake_fd)


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Owner]]:
    """Makes owners, in the folder of the applications."""
    monkeypatch.chdir(APPS)
    owners: list[Owner] = []

    def make(application: str, environment: dict[str, str] | None = None) -> Owner:
        owners.append(Owner(application, environment))
        return owners[-1]

    yield make
    for owner in owners:
        owner.close()


MANY = 450
"""Workers: more than a socket has room to ask for and to answer."""


def ask_for_many(owner: Owner) -> None:
    for number in range(MANY):
        owner.pool.ask_for(WorkerSpec(f"w{number}", "s1", "redis://h/1", "ns", b"leave 0", owner.wake_fd))


def ready(owner: Owner, mode: str) -> WorkerProcess:
    worker = owner.ask(mode)
    assert owner.answer() == "ready"
    return worker


def title(process: psutil.Process) -> str:
    return " ".join(process.cmdline()).strip()


def living(process: psutil.Process) -> list[psutil.Process]:
    """All below a process that have not ended."""
    return [one for one in process.children(recursive=True) if one.status() != psutil.STATUS_ZOMBIE]


def gone(processes: list[psutil.Process], within: float) -> bool:
    return not psutil.wait_procs(processes, timeout=within)[1]


# Importing


def test_the_nursery_tells_what_the_application_declares(own: Callable[..., Owner]) -> None:
    owner = own("plain:app")
    report = owner.wait_for(Imported).report
    assert (report.db, report.namespace, report.concurrency) == ("redis://localhost/1", "plain", 2)
    assert [(task.queue, task.name, task.where) for task in report.tasks] == [("images", "thumbnail", "app.py:1")]
    assert report.threads == []
    assert owner.pool.imported
    assert title(psutil.Process(owner.pool.pid)) == "tempotask: nursery plain:app"


def test_the_only_manager_of_a_module_need_not_be_named(own: Callable[..., Owner]) -> None:
    assert own("plain").wait_for(Imported).report.namespace == "plain"


def test_a_script_is_imported_again_under_the_name_that_its_guard_does_not_let_in(own: Callable[..., Owner]) -> None:
    owner = own("scripts/script.py:app")
    assert owner.wait_for(Imported).report.namespace == "__mp_main__"
    owner.ask("tell")
    assert json.loads(owner.answer())["main"] == "__mp_main__"


def test_hundreds_of_workers_may_be_asked_for_at_once(own: Callable[..., Owner]) -> None:
    owner = own("plain:app")
    owner.wait_for(Imported)
    asked = threading.Thread(target=ask_for_many, args=(owner,), daemon=True)
    asked.start()
    asked.join(LONG)
    assert not asked.is_alive(), "each side waits for the other to read"
    ended = [owner.wait_for(Died) for _ in range(MANY)]
    assert {event.status.code for event in ended} == {0}


def test_what_the_import_prints_goes_to_standard_error(own: Callable[..., Owner], capfd: pytest.CaptureFixture) -> None:
    own("plain:app").wait_for(Imported)
    out, err = capfd.readouterr()
    assert out == ""
    assert "printed by the import" in err


@pytest.mark.parametrize(
    ("application", "summary"),
    [
        ("plian:app", 'no module "plian" in {apps}; did you mean plain?'),
        ("xxxxxx:app", 'no module "xxxxxx" in {apps}; there are: boss, broken, '),
        ("plain.sub:app", 'no module "sub" in plain, which is one file; did you mean plain:sub?'),
        ("plain:apps", '"plain" has no attribute "apps"; it has plain:app'),
        ("plain:number", "plain:number is of type int, and is not a QueueManager; it has plain:app"),
        ("standin:StandIn", "standin:StandIn is the class StandIn, and is not a QueueManager"),
        ("two", '"two" has 2 QueueManagers; say which one: two:first and two:second'),
        ("standin", '"standin" has no QueueManager; make one there'),
        ("scripts/scirpt.py:app", 'no file "scirpt.py" in {apps}/scripts; did you mean script.py?'),
        ("nowhere/app.py:app", "nowhere, which does not exist"),
        (":app", '":app" names no module; write module:attribute'),
        ("leaves:app", "importing leaves ended in sys.exit(0): put what runs as a script under"),
    ],
)
def test_an_application_that_is_not_there_is_told_in_one_line_with_what_to_type_instead(
    own: Callable[..., Owner], application: str, summary: str
) -> None:
    failure = own(application).wait_for(ImportFailed)
    assert summary.format(apps=APPS) in failure.summary
    assert "\n" not in failure.summary
    if application != "leaves:app":
        assert failure.traceback == ""


def test_an_error_of_the_import_comes_with_the_frames_of_the_user_and_no_others(own: Callable[..., Owner]) -> None:
    failure = own("broken:app").wait_for(ImportFailed)
    frames = [line for line in failure.traceback.splitlines() if line.startswith("  File")]
    assert [f'"{APPS}/broken.py", line {n}' in frame for n, frame in zip((5, 2), frames, strict=True)] == [True, True]
    assert failure.summary == (
        f"importing broken failed: ZeroDivisionError: division by zero ({APPS}/broken.py, line 2)"
    )


def test_a_module_that_the_application_lacks_is_not_taken_for_the_application(own: Callable[..., Owner]) -> None:
    failure = own("needs:app").wait_for(ImportFailed)
    assert "No module named 'a_module_that_nobody_has'" in failure.summary
    assert "import a_module_that_nobody_has" in failure.traceback


# Workers


def test_a_worker_leads_its_group_has_its_title_and_spec_and_nothing_of_the_nursery(own: Callable[..., Owner]) -> None:
    owner = own("plain:app")
    owner.wait_for(Imported)
    first = ready(owner, "wait")
    worker = owner.ask("tell")
    told = json.loads(owner.answer())
    assert told["argv"] == f"tempotask: worker {worker.id}"
    assert told["pid"] == told["group"] == worker.pid
    assert told["spec"] == [worker.id, "s1", "redis://h/1", "ns"]
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
    assert status.peak_memory > 2**20
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
    gc.collect()  # what tests before this one have left holds some
    before = psutil.Process().num_fds(), nursery.num_fds(), len(owner.selector.get_map())
    for _ in range(50):
        born_and_died()
    assert (psutil.Process().num_fds(), nursery.num_fds(), len(owner.selector.get_map())) == before
    assert nursery.children() == []


def test_an_idle_nursery_uses_no_processor_time(own: Callable[..., Owner]) -> None:
    owner = own("plain:app")
    owner.wait_for(Imported)
    ready(owner, "wait")
    nursery = psutil.Process(owner.pool.pid)
    switches = nursery.num_ctx_switches().voluntary
    time.sleep(1)  # there is nothing to wait for: that is what is tested
    assert nursery.num_ctx_switches().voluntary - switches <= 1


# Applications that can't be forked


def test_workers_of_an_application_with_threads_are_spawned_and_one_warning_names_the_threads(
    own: Callable[..., Owner],
) -> None:
    owner = own("threaded:app")
    assert owner.wait_for(Imported).report.threads == ["listener"]
    assert "listener" in owner.wait_for(Warned).text
    worker = owner.ask("tell")
    told = json.loads(owner.answer())
    assert told["imported_in"] == told["pid"] == told["group"] == worker.pid
    assert told["argv"] == f"tempotask: worker {worker.id}"
    assert told["omp"] == "1"
    assert worker.block.words[8] == 4242
    nursery = psutil.Process(owner.pool.pid)
    assert nursery.num_threads() == 1
    assert title(nursery) == "tempotask: nursery threaded:app"
    worker.kill_group()
    assert owner.wait_for(Died, worker).status.signal == signal.SIGKILL
    other = owner.ask("leave 3")
    assert owner.wait_for(Died, other).status.code == 3
    assert not [event for event in owner.told if isinstance(event, Warned)]


# Ends


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
    gc.collect()  # what tests before this one have left holds some
    before = psutil.Process().num_fds()
    for _ in range(3):
        owner = Owner("plain:app")
        owner.wait_for(Imported)
        ready(owner, "daemonise")
        owner.told.clear()
        owner.close()
        owner.close = lambda: None  # type: ignore[method-assign]
    assert psutil.Process().num_fds() == before


def test_an_exit_status_says_what_happened() -> None:
    assert str(ExitStatus(signal=11, dumped_core=True)) == "was killed by SIGSEGV and dumped core"
    assert str(ExitStatus()) == "ended, nobody knows how"
