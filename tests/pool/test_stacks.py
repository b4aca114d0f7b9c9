"""`tempotask stacks`, of real workers."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import Any

import pytest
from pool.running import LONG, Bench, wait_until

APP = "ending:tempotask"


def stacks(bench: Bench, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tempotask.cli.main", "stacks", "--db", bench.url, "--namespace", bench.namespace]
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
