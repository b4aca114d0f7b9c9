"""Starting and stopping supervisors, by the command."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from pool.running import APPS, LONG, Bench, Supervisor, wait_until
from servers import OwnServer

SLOW_IMPORT = """
import os, sys

class Hold:
    def find_spec(self, name, path=None, target=None):
        if name == "tempotask.pool.supervisor":
            with open(os.environ["TEST_TOLD"], "w") as told:
                told.write("imports\\n")
            os.read(os.open(os.environ["TEST_GATE"], os.O_RDONLY), 1)

sys.meta_path.insert(0, Hold())
"""
"""A `sitecustomize` that holds up the import of the supervisor itself until the test opens the gate."""


def test_a_supervisor_starts_as_many_workers_as_it_is_told(bench: Bench) -> None:
    supervisor = bench.start(workers=3)
    assert "ready: 3 workers" in supervisor.log
    assert len(supervisor.workers()) == 3
    assert supervisor.stop() == 0
    assert bench.store.registrations() == {}


def test_a_supervisor_starts_a_worker_for_each_core_when_nobody_says_otherwise(bench: Bench) -> None:
    supervisor = bench.start(workers=0)
    assert f"ready: {os.cpu_count()} workers" in supervisor.log
    assert len(supervisor.workers()) == os.cpu_count()
    assert supervisor.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_finishes_what_runs_and_gives_back_what_has_not_started(bench: Bench, number: int) -> None:
    supervisor = bench.start(workers=1)
    running = bench.manager.enqueue(name="hold", queue="q")
    assert bench.hear()[:2] == ["holds", running.id]
    waiting = bench.manager.enqueue_many({"name": "say", "queue": "q", "data": "x"} for _ in range(50))
    supervisor.signal(number)
    supervisor.wait_for("stopping")
    bench.open_gate()
    assert supervisor.end() == 0
    assert running.result(timeout=LONG) == 1
    assert bench.hear_no_more()
    assert {handle.status() for handle in waiting} == {"waiting"}


def test_a_stop_does_not_wait_for_workers_that_still_start_and_blames_nobody(bench: Bench) -> None:
    (bench.folder / "slow.py").write_text(
        f"import sys\nsys.path.append({str(APPS)!r})\n"
        "from chores import GATE, os, tell\n"
        "from tempotask import QueueManager\n"
        "def context():\n    tell('starts')\n    os.read(GATE, 1)\n"
        "tempotask = QueueManager.init(ctx=context)\n"
    )
    supervisor = bench.begin(app="slow:tempotask", folder=bench.folder, workers=2)
    assert [bench.hear(), bench.hear()] == [["starts"], ["starts"]]
    assert supervisor.stop() == 0
    assert "was killed" not in supervisor.log


def test_a_stop_gives_back_a_batch_that_was_taken_whole(bench: Bench) -> None:
    jobs = [{"name": name, "queue": "q", "data": "x"} for name in ["hold", *["echo"] * 20]]
    handles = bench.manager.enqueue_many(jobs)
    supervisor = bench.start(workers=1)
    assert bench.hear()[:2] == ["holds", handles[0].id]
    supervisor.signal()
    supervisor.wait_for("stopping")
    bench.open_gate()
    assert supervisor.end() == 0
    assert [handle.status() for handle in handles] == ["completed", *["waiting"] * 20]
    again = bench.start("--drain", workers=1)
    assert again.end() == 0
    assert handles.results(timeout=LONG) == [1, *["x"] * 20]


def test_a_second_term_stops_at_once_and_what_ran_goes_back_unmarked(bench: Bench) -> None:
    supervisor = bench.start(workers=1)
    handle = bench.manager.enqueue(name="hold", queue="q", options={"max_crashes": 1})
    bench.hear()
    assert supervisor.halt() == 1
    (death,) = supervisor.about("SIGKILL")
    assert f"{handle.id} (q/hold), which runs again, unmarked" in death
    assert handle.status() == "waiting"
    assert bench.store.registrations() == {}
    bench.open_gate()
    assert bench.start("--drain", workers=1).end() == 0
    assert handle.result(timeout=LONG) == 1


def test_when_the_grace_is_over_what_runs_goes_back_unmarked(bench: Bench) -> None:
    supervisor = bench.start("--grace", "0.2", workers=1)
    handle = bench.manager.enqueue(name="hold", queue="q", options={"max_crashes": 1})
    bench.hear()
    assert supervisor.stop() == 1
    assert "the grace is over" in supervisor.log
    assert handle.status() == "waiting"


def test_without_any_grace_idle_workers_end_gently(bench: Bench) -> None:
    supervisor = bench.start("--grace", "0", workers=2)
    assert supervisor.stop() == 0, supervisor.log


def test_a_thread_that_a_handler_has_left_behind_does_not_hold_up_the_end(bench: Bench) -> None:
    supervisor = bench.start("--grace", str(2 * LONG), workers=1)
    bench.manager.enqueue(name="strays", queue="q").result(timeout=LONG)
    assert supervisor.stop() == 0


@pytest.fixture
def away(tmp_path: Path, start_server: Callable[..., OwnServer]) -> Iterator[tuple[Bench, OwnServer]]:
    """A bench on a server that can be stopped; it goes on when the test ends."""
    server = start_server()
    bench = Bench(tmp_path, server.url, "away")
    yield bench, server
    server.process.send_signal(signal.SIGCONT)
    bench.close()


def test_a_stop_of_idle_workers_is_a_gentle_one_and_within_the_grace_though_the_server_does_not_answer(
    away: tuple[Bench, OwnServer],
) -> None:
    bench, server = away
    supervisor = bench.start("--grace", "3")
    client = bench.store.server.client()
    # Two workers and their supervisor, each on a list of its own: one that waits for the answer to a turn is busy.
    wait_until(lambda: client.info("clients")["blocked_clients"] == 3, "the workers are not idle")
    server.process.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    assert supervisor.stop() == 0
    assert time.monotonic() - began < LONG / 2
    assert supervisor.about("the server does not answer")


def test_a_second_term_does_not_wait_for_a_server_that_does_not_answer(away: tuple[Bench, OwnServer]) -> None:
    bench, server = away
    supervisor = bench.start(workers=1)
    handle = bench.manager.enqueue(name="hold", queue="q")
    bench.hear()
    server.process.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    assert supervisor.halt() == 1
    assert time.monotonic() - began < LONG / 2
    server.process.send_signal(signal.SIGCONT)
    bench.open_gate()
    again = bench.start(workers=1)
    assert handle.result(timeout=LONG) == 1
    assert again.stop() == 0


def test_a_job_that_is_taken_after_the_stop_was_asked_for_is_not_started(bench: Bench) -> None:
    """Many stops, at moments when workers take turns."""
    bench.manager.enqueue_many({"name": "enter", "queue": "q", "data": 0.0005} for _ in range(3000))
    supervisor = bench.start(workers=2)
    wait_until(bench.entries, "nothing runs")
    assert supervisor.stop() == 0
    began, ended = ([id for id, what, *_ in bench.entries() if what == word] for word in ("start", "end"))
    assert sorted(began) == sorted(ended)
    assert len(set(began)) == len(began)


def test_a_pool_goes_when_the_program_that_started_it_is_killed(bench: Bench) -> None:
    program = f"""
import asyncio
from chores import tempotask
async def main():
    tempotask.move({bench.url!r}, {bench.namespace!r})
    await tempotask.start()
    print("started", flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""
    names = {name: str(bench.folder / name[5:].lower()) for name in ("TEST_TOLD", "TEST_GATE", "TEST_LEDGER")}
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=APPS, stdout=subprocess.PIPE, text=True, env={**os.environ, **names}
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        handle = bench.manager.enqueue(name="regex", queue="q")
        bench.hear()
        under = psutil.Process(process.pid).children(recursive=True)
        assert len(under) >= 3
        process.kill()
    _, left = psutil.wait_procs(under, timeout=LONG)
    assert not left
    assert handle.status() == "waiting"


def test_draining_ends_when_nothing_is_left_that_would_run_now(bench: Bench) -> None:
    handles = bench.manager.enqueue_many({"name": "echo", "queue": "q", "data": n} for n in range(500))
    flaky = bench.manager.enqueue(name="flaky", queue="q", data=1, options={"attempts": 2, "retry_delay": 0.3})
    later = bench.manager.enqueue(name="echo", queue="q", options={"delay": 3600})
    supervisor = bench.begin("--drain")
    assert supervisor.end() == 0
    assert "nothing is left to run; 1 delayed job is left" in supervisor.log
    assert handles.results(timeout=LONG) == list(range(500))
    assert flaky.result(timeout=LONG) == 2
    assert later.status() == "delayed"


def test_what_nobody_waits_for_is_counted_in_the_log(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    manager = bench.manager
    manager.enqueue_many({"name": "echo", "queue": "paused", "options": {"priority": n % 2}} for n in range(4))
    assert manager.cancel_job_by_id(manager.get_jobs(queue="paused")[1].id)
    assert manager.pause_queue("paused")
    held, _ = manager.enqueue(name="echo", queue="q"), manager.enqueue(name="echo", queue="q", options={"delay": 3600})
    assert manager.pause_job_by_id(held.id)
    manager.enqueue(name="echo", queue="q", options={"repeat": "0 0 1 1 *"})
    supervisor = bench.begin("--drain")
    assert supervisor.end() == 0
    assert "nothing is left to run; 4 paused and 1 delayed jobs are left; 1 schedule goes on" in supervisor.log
    with caplog.at_level("INFO", "tempotask"):
        asyncio.run(manager.join())
    assert "nothing is left to run; 4 paused and 1 delayed jobs are left; 1 schedule goes on" in caplog.text


def test_draining_an_empty_namespace_ends_at_once(bench: Bench) -> None:
    assert bench.begin("--drain").end() == 0


def test_a_stop_while_the_application_is_imported_ends_the_import(bench: Bench) -> None:
    (bench.folder / "slow.py").write_text(
        f"import sys, time\nsys.path.append({str(APPS)!r})\n"
        "from chores import tell, tempotask\ntell('imports')\ntime.sleep(600)\n"
    )
    supervisor = bench.begin(app="slow:tempotask", folder=bench.folder)
    assert bench.hear() == ["imports"]
    assert supervisor.stop() == 0


def hold_up(bench: Bench) -> Supervisor:
    """A supervisor that still imports its own code."""
    (bench.folder / "sitecustomize.py").write_text(SLOW_IMPORT)
    supervisor = bench.begin(environment={"PYTHONPATH": str(bench.folder)})
    assert bench.hear() == ["imports"]
    return supervisor


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_that_comes_before_the_supervisor_listens_is_a_gentle_one(bench: Bench, number: int) -> None:
    supervisor = hold_up(bench)
    supervisor.signal(number)
    bench.open_gate()
    assert supervisor.end() == 0
    assert supervisor.about("stopping")


def test_a_hup_that_comes_before_the_supervisor_listens_does_not_end_it(bench: Bench) -> None:
    supervisor = hold_up(bench)
    supervisor.signal(signal.SIGHUP)
    bench.open_gate()
    supervisor.wait_for("ready: ")
    assert bench.manager.enqueue(name="echo", queue="q", data=1).result(timeout=LONG) == 1
    assert supervisor.stop() == 0


def test_each_line_of_a_json_log_is_one_object(bench: Bench) -> None:
    supervisor = bench.start("--log-format", "json", workers=1)
    handle = bench.manager.enqueue(name="hold", queue="q", options={"max_crashes": 1})
    _, _, pid = bench.hear()
    os.kill(int(pid), signal.SIGKILL)
    supervisor.wait_for("was killed by SIGKILL")
    assert supervisor.stop() == 0
    told = [json.loads(line) for line in supervisor.lines]
    for line in told:
        assert {"at", "level", "message"} <= line.keys()
        assert abs(line["at"] - time.time()) < 600
    (death,) = [line for line in told if line.get("job")]
    assert (death["job"], death["signal"], death["pid"], death["level"]) == (handle.id, 9, int(pid), "warning")


def test_the_processes_are_told_apart_by_their_titles(bench: Bench) -> None:
    supervisor = bench.start(workers=2)
    assert " ".join(psutil.Process(supervisor.process.pid).cmdline()).startswith("tempotask: supervisor chores")
    assert len(supervisor.titled("nursery chores:tempotask")) == 1
    assert len(supervisor.workers()) == 2
    supervisor.stop()


# -- starts that fail

LONE = """
import os, sys
sys.path.append({apps!r})
from chores import GATE, hold, tell
from tempotask import Context, Job, QueueManager

def context() -> None:
    try:
        os.close(os.open({lock!r}, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        {others}

tempotask = QueueManager.init(ctx=context, concurrency=2)
tempotask.register_job(name="hold", queue="q", handler=hold.handler)

@tempotask.task(queue="q")
def quick(job: Job, ctx: Context) -> str:
    return "done"
"""
"""An application of which one worker gets through its start, and no other."""


def lone(bench: Bench, others: str, *options: str) -> Supervisor:
    text = LONE.format(apps=str(APPS), lock=str(bench.folder / "lock"), others=others)
    (bench.folder / "lone.py").write_text(text)
    return bench.begin(*options, app="lone:tempotask", folder=bench.folder, workers=0)


def test_a_drain_does_not_wait_for_a_worker_that_does_not_get_through_its_start(bench: Bench) -> None:
    job = bench.manager.enqueue(name="quick", queue="q")
    supervisor = lone(bench, "tell('starts'); os.read(GATE, 1)", "--drain")
    assert bench.hear() == ["starts"]
    assert supervisor.end() == 0
    assert job.result(timeout=LONG) == "done"


def test_when_workers_do_not_start_what_runs_on_one_that_did_is_finished(bench: Bench) -> None:
    job = bench.manager.enqueue(name="hold", queue="q", options={"max_crashes": 1})
    supervisor = lone(bench, "raise RuntimeError('no room')")
    bench.hear()
    supervisor.wait_for("workers can't be started")
    bench.open_gate()
    assert supervisor.end() == 2
    assert job.result(timeout=LONG) == 1
