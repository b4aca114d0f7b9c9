"""`tempotask stacks`, of real workers."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from pool.running import LONG, Bench, wait_until
from servers import OwnServer

APP, STUCK = "ending:tempotask", "stuck:tempotask"


def stacks(bench: Bench, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tempotask.cli", "stacks", "--db", bench.url, "--namespace", bench.namespace]
    return subprocess.run([*command, *options], capture_output=True, text=True, timeout=LONG)


def is_whole(worker: dict[str, Any]) -> bool:
    return "_run_module_as_main" in (worker["stack"] or "")


def answers(bench: Bench, workers: int) -> list[dict[str, Any]]:
    """The stacks of so many workers; nothing if one did not answer in time, or to the end: the machine may be busy."""
    shown = stacks(bench, "--json")
    told = [json.loads(line) for line in shown.stdout.splitlines()]
    return told if (shown.returncode, len(told)) == (0, workers) and all(map(is_whole, told)) else []


def in_words(bench: Bench, job: str) -> str:
    """The stacks as people read them, once that of this job is among them."""
    shown = stacks(bench).stdout
    return shown if job in shown and " in stay" in shown else ""


@pytest.mark.parametrize("how", ["loop", "C"])
def test_it_shows_where_a_worker_is_though_it_is_stuck(bench: Bench, how: str) -> None:
    supervisor = bench.start(app=APP, workers=2)
    handle = bench.manager.enqueue(name="stay", queue="q", data=how)
    _, _, pid = bench.hear()
    wait_until(lambda: bench.store.read("ZCARD", "idle") == 1, "the other one is not idle")
    workers = wait_until(lambda: answers(bench, 2), "not all are shown")
    (busy,) = [worker for worker in workers if worker["state"] == "busy"]
    assert (busy["id"], busy["queue"], busy["name"], busy["pid"]) == (handle.id, "q", "stay", int(pid))
    assert "ending.py" in busy["stack"]
    assert " in stay" in busy["stack"]
    (idle,) = [worker for worker in workers if worker is not busy]
    assert idle["id"] is None
    assert "wire.py" in idle["stack"]
    people = wait_until(lambda: in_words(bench, f"job {handle.id} (q/stay)"), "it is not shown in words")
    assert any(line.startswith("  File ") and line.endswith(" in stay") for line in people.splitlines())
    assert "runner.py" not in people
    assert handle.status() == "processing", "looking does no harm"
    assert supervisor.halt() == 1


def shown_of(bench: Bench, pid: str, *texts: str) -> dict[str, Any]:
    """What is told of a worker, once all of this is in it."""

    def told() -> dict[str, Any] | None:
        workers = {worker["pid"]: worker for worker in map(json.loads, stacks(bench, "--json").stdout.splitlines())}
        seen = workers.get(int(pid), {})
        text = f"{seen.get('stack')}{seen.get('awaits')}"
        return seen if all(each in text for each in texts) else None

    found = wait_until(told, f"not all of {texts} is told of it")
    assert found is not None
    return found


@pytest.mark.parametrize(("way", "where"), [("regex", " in match"), ("matrix", " in svd")])
def test_it_shows_what_was_called_though_that_is_in_c(bench: Bench, way: str, where: str) -> None:
    supervisor = bench.start(app=STUCK, workers=1)
    bench.manager.enqueue(name="stay", queue="q", data=way)
    _, _, pid = bench.hear()
    told = shown_of(bench, pid, where, f" in {way}", " in stay")
    assert told["awaits"] is None
    assert supervisor.halt() == 1


def test_it_shows_where_a_worker_is_that_does_not_get_through_its_start(bench: Bench) -> None:
    supervisor = bench.begin(app=STUCK, workers=1, environment={"TEST_STUCK": "1"})
    _, pid = bench.hear()
    assert shown_of(bench, pid, " in loop", " in context")["state"] == "starting"
    assert supervisor.halt() in (0, 1)


def test_a_worker_that_is_stopped_is_named_and_not_waited_for_long(bench: Bench) -> None:
    supervisor = bench.start(app=STUCK, workers=1)
    (worker,) = supervisor.workers()
    worker.suspend()
    told = wait_until(lambda: [json.loads(line) for line in stacks(bench, "--json").stdout.splitlines()], "no answer")
    assert [(one["pid"], one["stack"]) for one in told] == [(worker.pid, None)]
    assert "it could not be asked: it is starting, or it is stopped" in wait_until(lambda: stacks(bench).stdout, "")
    worker.resume()
    shown_of(bench, str(worker.pid), "wire.py")
    assert supervisor.stop() == 0


def test_of_an_async_handler_it_shows_where_it_awaits_and_where_its_tasks_do(bench: Bench) -> None:
    supervisor = bench.start(app=STUCK, workers=1)
    bench.manager.enqueue(name="await_", queue="q", data=2)
    _, _, pid = bench.hear()
    awaits = shown_of(bench, pid, "helper 1", " in await_")["awaits"].splitlines()
    assert awaits[0].endswith(" in await_"), "where all its tasks are waited for"
    for number in (0, 1):
        at = awaits.index(f"  of its task helper {number}:")
        assert awaits[at + 1].endswith(" in wait")
        assert awaits[at + 2].endswith(" in wait_for_ever")
    people = wait_until(lambda: "helper 1" in (said := stacks(bench).stdout) and said, "it is not shown in words")
    assert "base_events.py" not in people
    assert supervisor.halt() == 1


@pytest.mark.parametrize("way", ["loop", "regex"])
def test_of_an_async_handler_that_holds_up_its_loop_it_shows_what_it_does(bench: Bench, way: str) -> None:
    supervisor = bench.start(app=STUCK, workers=1)
    bench.manager.enqueue(name="hold", queue="q", data=way)
    _, _, pid = bench.hear()
    assert not shown_of(bench, pid, f" in {way}", " in hold")["awaits"]
    assert supervisor.halt() == 1


def test_a_recursion_is_shown_in_a_few_lines(bench: Bench) -> None:
    supervisor = bench.start(app=STUCK, workers=1)
    bench.manager.enqueue(name="stay", queue="q", data="recursion")
    bench.hear()
    people = wait_until(lambda: " in stay" in (said := stacks(bench).stdout) and said, "it is not shown")
    assert "  (and 49 times more)\n" in people
    assert len(people.splitlines()) < 10
    assert supervisor.halt() == 1


def test_it_asks_all_supervisors_and_says_who_does_not_answer(bench: Bench) -> None:
    quick, slow = (bench.start(app=APP, workers=1) for _ in range(2))
    slow.signal(signal.SIGSTOP)
    # On a busy machine also the other one may take longer than is waited for.
    shown = wait_until(lambda: (said := stacks(bench, "--json")).stdout and said, "nobody answers")
    slow.signal(signal.SIGCONT)
    assert shown.returncode == 1
    (line,) = shown.stdout.splitlines()
    assert json.loads(line)["pid"] in {worker.pid for worker in quick.workers()}
    assert "did not answer" in shown.stderr
    wait_until(lambda: answers(bench, 2), "it does not come back")
    for supervisor in (quick, slow):
        assert supervisor.stop() == 0


def test_where_nobody_works_it_says_so(bench: Bench) -> None:
    shown = stacks(bench)
    assert shown.returncode == 1
    assert "no supervisor works" in shown.stderr


def test_a_worker_whose_wait_broke_is_busy_with_what_it_got_then(
    start_server: Callable[..., OwnServer], tmp_path: Path
) -> None:
    """Else nobody would keep its time limits, nor steal back what is behind it."""
    server = start_server()
    bench = Bench(tmp_path, server.url, "broken")
    bench.start(workers=1)
    wait_until(lambda: bench.store.read("ZCARD", "idle") == 1, "the worker is not idle")
    with redis.Redis.from_url(server.url) as admin:
        for waiting in [one["id"] for one in admin.client_list() if one["cmd"] == "blpop"]:
            admin.client_kill_filter(_id=waiting)
    handle = bench.manager.enqueue(name="hold", queue="q")
    assert bench.hear()[:2] == ["holds", handle.id]
    (worker,) = wait_until(lambda: answers(bench, 1), "it is not shown")
    assert (worker["state"], worker["id"]) == ("busy", handle.id)
    bench.open_gate()
    assert handle.result(timeout=LONG) == 1
    bench.close()


def test_of_a_server_that_is_full_it_says_so(start_server: Callable[..., OwnServer], tmp_path: Path) -> None:
    server = start_server()
    bench = Bench(tmp_path, server.url, "full")
    bench.start(app=APP, workers=1)
    with redis.Redis.from_url(server.url) as admin:
        admin.config_set("maxmemory", "1mb")
        shown = stacks(bench)
        admin.config_set("maxmemory", "0")
    assert (shown.returncode, shown.stdout, shown.stderr.count("\n")) == (2, "", 1)
    assert "is full" in shown.stderr
    bench.close()


def test_who_is_asked_when_the_server_has_no_room_for_the_answer_goes_on_renewing_its_lease(
    start_server: Callable[..., OwnServer], tmp_path: Path
) -> None:
    server = start_server()
    bench = Bench(tmp_path, server.url, "full")
    bench.start("--lease", "3", app=APP, workers=1)
    (name,) = bench.store.registrations()

    def lease() -> int:
        return int(bench.store.read("HGET", "leases", name))

    with redis.Redis.from_url(server.url) as admin:
        with admin.pipeline(transaction=True) as pipe:
            # As `tempotask stacks` asks, and it is full right behind that.
            pipe.rpush(f"{bench.store.prefix}orders:{name}", "stacks stacks:somebody")
            pipe.config_set("maxmemory", "1mb")
            pipe.execute()
        for _ in range(3):
            before = lease()
            wait_until(lambda before=before: lease() > before, "it is not renewed")  # type: ignore[misc]
        admin.config_set("maxmemory", "0")
    bench.close()
