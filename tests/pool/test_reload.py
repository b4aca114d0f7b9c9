"""HUP: changed code is taken up, without losing a job or standing still."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from pool.running import APPS, LONG, Bench, Supervisor, wait_until

import tempotask

SOURCE = """
import sys
sys.path.append({apps!r})
from chores import GATE, TOLD, App, hold, say, tell
from tempotask import Context, Job, QueueManager
import os

tempotask = QueueManager.init(concurrency={workers})
tempotask.register_job(name="hold", queue="q", handler=hold.handler)

@tempotask.task(queue="q")
def version(job: Job, ctx: Context) -> str:
    return {version!r}
"""
SLOW_START = """
def context() -> None:
    tell("starts")
    os.read(GATE, 1)

tempotask = QueueManager.init(ctx=context, concurrency=1)

@tempotask.task(queue="q", name="version")
def slow_version(job: Job, ctx: Context) -> str:
    return {version!r}
"""
"""More of the application: its workers wait for the gate before they are ready."""
Write = Callable[..., None]


@pytest.fixture
def write(bench: Bench) -> Write:
    """Writes the application anew."""
    times = itertools.count(1_000_000_000)

    def write(version: str, workers: int = 2, more: str = "") -> None:
        text = SOURCE.format(apps=str(APPS), version=version, workers=workers) + more
        new: Path = bench.folder / "changing.py.new"
        new.write_text(text)
        # Python tells by whole seconds whether what it has compiled is of this text.
        os.utime(new, (now := next(times), now))
        os.replace(new, bench.folder / "changing.py")

    write("one")
    return write


def start(bench: Bench, *options: str) -> Supervisor:
    return bench.start(*options, app="changing:tempotask", folder=bench.folder, workers=0)


def version(bench: Bench) -> str:
    return str(bench.manager.enqueue(name="version", queue="q").result(timeout=LONG))


def test_changed_code_is_taken_up_while_what_runs_goes_on(bench: Bench, write: Write) -> None:
    supervisor = start(bench)
    held = bench.manager.enqueue(name="hold", queue="q", options={"max_crashes": 1})
    bench.hear()
    assert version(bench) == "one"
    write("two")
    supervisor.signal(signal.SIGHUP)
    supervisor.wait_for("the changed code is at work")
    assert version(bench) == "two"
    assert held.status() == "processing"
    bench.open_gate()
    assert held.result(timeout=LONG) == 1
    wait_until(lambda: len(supervisor.titled("nursery")) == 1, "the old nursery stays")
    wait_until(lambda: len(supervisor.workers()) == 2, "there are not two workers")
    assert supervisor.stop() == 0


def test_no_job_is_lost_over_many_changes(bench: Bench, write: Write) -> None:
    supervisor = start(bench)
    handles = []
    for change in range(4):
        handles += bench.manager.enqueue_many({"name": "version", "queue": "q"} for _ in range(500))
        write(f"v{change}")
        supervisor.signal(signal.SIGHUP)
        wait_until(lambda change=change: version(bench) == f"v{change}", "the code is an old one")
    assert {handle.result(timeout=LONG) for handle in handles} <= {"one", "v0", "v1", "v2", "v3"}
    assert supervisor.stop() == 0
    assert not supervisor.about("killed")


def test_code_that_does_not_import_leaves_the_workers_as_they_are_and_says_why(bench: Bench, write: Write) -> None:
    supervisor = start(bench)
    before = {worker.pid for worker in supervisor.workers()}
    write("two", more="\nraise RuntimeError('half done')\n")
    supervisor.signal(signal.SIGHUP)
    supervisor.wait_for("the workers stay as they are")
    assert "half done" in supervisor.log
    assert version(bench) == "one"
    assert {worker.pid for worker in supervisor.workers()} == before
    write("three")
    supervisor.signal(signal.SIGHUP)
    wait_until(lambda: version(bench) == "three", "the code is the old one")
    assert supervisor.stop() == 0


def test_a_changed_concurrency_is_taken_up_unless_the_option_was_given(bench: Bench, write: Write) -> None:
    supervisor = start(bench)
    write("two", workers=3)
    supervisor.signal(signal.SIGHUP)
    wait_until(lambda: version(bench) == "two", "the code is the old one")
    wait_until(lambda: len(supervisor.workers()) == 3, "there are not three workers")
    assert supervisor.stop() == 0
    fixed = start(bench, "--concurrency", "1")
    write("three", workers=2)
    fixed.signal(signal.SIGHUP)
    wait_until(lambda: version(bench) == "three", "the code is the old one")
    wait_until(lambda: len(fixed.workers()) == 1, "there is not one worker")
    assert fixed.stop() == 0


def test_changed_code_is_taken_up_though_its_nursery_is_killed_before_its_workers_are_ready(
    bench: Bench, write: Write
) -> None:
    supervisor = start(bench)
    old = supervisor.nursery().pid
    write("two", more=SLOW_START.format(version="two"))
    supervisor.signal(signal.SIGHUP)
    assert bench.hear() == ["starts"]
    (new,) = (nursery for nursery in supervisor.titled("nursery") if nursery.pid != old)
    new.kill()
    supervisor.wait_for("another one is started")
    assert version(bench) == "one"
    assert bench.hear() == ["starts"]
    bench.open_gate()
    supervisor.wait_for("the changed code is at work")
    assert version(bench) == "two"
    assert supervisor.stop() == 0


def test_changed_code_whose_workers_never_start_ends_a_pool_that_was_not_ready_yet(bench: Bench, write: Write) -> None:
    write("one", more=SLOW_START.format(version="one"))
    supervisor = bench.begin(app="changing:tempotask", folder=bench.folder, workers=0)
    assert bench.hear() == ["starts"]
    broken = "\ndef context() -> None:\n    raise RuntimeError('no context')\n"
    write("two", more=broken + "\ntempotask = QueueManager.init(ctx=context, concurrency=1)\n")
    supervisor.signal(signal.SIGHUP)
    assert supervisor.end() == 2
    assert supervisor.tree() == []


def test_when_all_nurseries_are_killed_while_changed_code_is_imported_another_one_comes_at_once(
    bench: Bench, write: Write
) -> None:
    supervisor = start(bench)
    old = supervisor.nursery()
    write("two", more="\ntell('imports')\nos.read(GATE, 1)\n")
    supervisor.signal(signal.SIGHUP)
    assert bench.hear() == ["imports"]
    (new,) = (nursery for nursery in supervisor.titled("nursery") if nursery.pid != old.pid)
    old.kill()
    supervisor.wait_for("another one is started")
    new.kill()
    assert float(supervisor.wait_for("trying again in").split()[-2]) < 1
    assert bench.hear() == ["imports"]
    bench.open_gate()
    assert version(bench) == "two"
    assert supervisor.stop() == 0


def test_what_changes_while_a_change_is_taken_up_is_taken_up_too(bench: Bench, write: Write) -> None:
    supervisor = start(bench)
    write("two", more="\ntell('imports')\nos.read(GATE, 1)\n")
    supervisor.signal(signal.SIGHUP)
    assert bench.hear() == ["imports"]
    # Also where the import of the one before does not come to its end.
    write("three")
    supervisor.signal(signal.SIGHUP)
    wait_until(lambda: version(bench) == "three", "the last change is not taken up")
    assert supervisor.stop() == 0


def test_after_changes_delayed_jobs_still_come_in_time(bench: Bench, write: Write) -> None:
    """Whoever listens for what is due must be one, however often the code changed."""
    supervisor = start(bench)
    process = psutil.Process(supervisor.process.pid)
    threads = process.num_threads()
    for name in ("two", "three"):
        write(name)
        supervisor.signal(signal.SIGHUP)
        # Until then workers of the old code, which are to end, may run jobs beside one of the new code.
        supervisor.wait_for("the changed code is at work")
        assert version(bench) == name
    for _ in range(20):
        options = {"delay": 0.02}
        handle = bench.manager.enqueue(name="version", queue="q", options=options)
        # Workers that are idle look by themselves after 30 s.
        assert handle.result(timeout=20) == "three"
    wait_until(lambda: process.num_threads() <= threads, "threads are left")
    assert supervisor.stop() == 0


def test_a_host_that_was_taken_for_lost_while_it_imports_changed_code_comes_back_and_stays(
    bench: Bench, write: Write
) -> None:
    first = start(bench, "--lease", "2")
    go_on = bench.folder / "go-on"
    os.mkfifo(go_on)
    write("two", more=f"open({str(go_on)!r}).read()\n")
    first.signal(signal.SIGHUP)
    first.wait_for("taking up changed code")
    (lost,) = bench.store.registrations()
    for process in first.tree():
        process.send_signal(signal.SIGSTOP)
    second = bench.begin("--lease", "2", workers=1)
    assert lost in second.wait_for("was lost")
    for process in reversed(first.tree()):
        process.send_signal(signal.SIGCONT)
    first.wait_for("starting over under a new id")
    wait_until(lambda: len(bench.store.registrations()) == 2, "it does not come back")
    come_back = set(bench.store.registrations())
    # While the import still goes on, it renews: the other one finds nobody to sweep in more than a lease.
    leases = bench.store.read("HGETALL", "leases")
    wait_until(
        lambda: all(bench.store.read("HGETALL", "leases")[name] != value for name, value in leases.items()),
        "a lease is not renewed",
    )
    assert set(bench.store.registrations()) == come_back
    go_on.write_text("")
    wait_until(lambda: len(first.workers()) == 2, "its workers do not come back")
    assert second.stop() == 0
    wait_until(lambda: version(bench) == "two", "the code is the old one")
    assert first.stop() == 0


def test_workers_that_are_forked_while_the_package_itself_is_replaced_know_nothing_of_it(bench: Bench) -> None:
    package = bench.folder / "site" / "tempotask"
    shutil.copytree(Path(tempotask.__file__).parent, package)
    supervisor = bench.begin(workers=2, environment={"PYTHONPATH": str(package.parent)})
    supervisor.wait_for("ready: ")
    for source in package.rglob("*.py"):
        source.write_text("raise ImportError('half of a newer version')\n")
    for _ in range(2):
        handle = bench.manager.enqueue(name="hold", queue="q")
        _, _, pid = bench.hear()
        os.kill(int(pid), signal.SIGKILL)
        bench.hear()
        bench.open_gate()
        assert handle.result(timeout=LONG) == 1
    wait_until(lambda: len(supervisor.workers()) == 2, "those that died are not replaced")
    assert supervisor.stop() == 0
    assert "newer version" not in supervisor.log


def test_the_old_workers_are_replaced_as_long_as_those_of_the_changed_code_do_not_start(
    bench: Bench, write: Write
) -> None:
    supervisor = start(bench)
    before = [worker.pid for worker in supervisor.workers()]
    broken = "\ndef context() -> None:\n    raise RuntimeError('no context')\n"
    write("two", more=broken + "\ntempotask = QueueManager.init(ctx=context, concurrency=2)\n")
    supervisor.signal(signal.SIGHUP)
    supervisor.wait_for("no context")
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    assert version(bench) == "one"
    supervisor.signal(signal.SIGHUP)
    supervisor.wait_for("taking up changed code")
    supervisor.wait_for("no context")
    wait_until(lambda: len(supervisor.titled("nursery")) == 2, "code that never came to work is kept up")
    assert version(bench) == "one"
    assert supervisor.stop() == 0


def test_a_task_that_only_the_changed_code_has_waits_for_it(bench: Bench, write: Write) -> None:
    supervisor = start(bench)
    new = '\n@tempotask.task(queue="q")\ndef fresh(job: Job, ctx: Context) -> str:\n    return "fresh"\n'
    write("two", more=SLOW_START.format(version="two") + new)
    supervisor.signal(signal.SIGHUP)
    assert bench.hear() == ["starts"]
    early = bench.manager.enqueue(name="fresh", queue="q")
    # The old ones have come to it: what was added behind it is done.
    assert version(bench) == "one"
    assert early.status() in ("waiting", "delayed", "processing")
    bench.open_gate()
    assert early.result(timeout=LONG) == "fresh"
    assert supervisor.stop() == 0
