"""Processes that are killed with -9, at work: no job is lost, settled twice, or blamed without having run."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections import Counter
from typing import Any

import psutil
import pytest
from pool.running import LONG, Bench, wait_until
from store import play

from tempotask import WorkerCrashed
from tempotask.pool.deaths import Cause, Death, Recovery
from tempotask.store import lists
from tempotask.store.records import FINISHED


def test_only_the_job_that_ran_is_blamed_for_the_death_of_its_worker(bench: Bench) -> None:
    supervisor = bench.start(workers=1)
    bench.manager.enqueue_many({"name": "echo", "queue": "q"} for _ in range(1000)).results(timeout=LONG)
    names = ["echo"] * 5 + ["hold"] + ["echo"] * 50
    handles = bench.manager.enqueue_many(
        {"name": name, "queue": "q", "data": n, "options": {"max_crashes": 2}} for n, name in enumerate(names)
    )
    _, id, pid = bench.hear()
    assert id == handles[5].id
    os.kill(int(pid), signal.SIGKILL)
    began = time.monotonic()
    _, id, pid = bench.hear()
    assert id == handles[5].id
    assert time.monotonic() - began < LONG / 2  # 0.03 s on a machine that has nothing else to do
    line = supervisor.wait_for("SIGKILL")
    assert handles[5].id in line
    assert "q/hold" in line
    assert "runs again, alone (crash 1 of 2)" in line
    bench.open_gate()
    assert handles.results(timeout=LONG) == [*range(5), 1, *range(6, 56)]
    assert len(supervisor.about("SIGKILL")) == 1
    assert supervisor.stop() == 0


def test_a_job_that_takes_its_process_with_it_has_not_begun_before_it_was_added(bench: Bench) -> None:
    bench.start(workers=1)
    # Its worker has been there for a while, and it is gone before anybody looks.
    bench.manager.enqueue(name="echo", queue="q").result(timeout=LONG)
    time.sleep(0.3)
    handle = bench.manager.enqueue(name="end", queue="q", data="os._exit", options={"max_crashes": 1})
    with pytest.raises(WorkerCrashed):
        handle.result(timeout=LONG)
    info = handle.info()
    assert info.started_at is not None
    assert info.started_at >= info.enqueued_at


def test_at_the_third_crash_a_job_fails_as_worker_crashed(bench: Bench) -> None:
    supervisor = bench.start(workers=2)
    handle = bench.manager.enqueue(name="hold", queue="q", options={"attempts": 5})
    others = bench.manager.enqueue_many({"name": "echo", "queue": "q", "data": n} for n in range(100))
    for _ in range(3):
        _, id, pid = bench.hear()
        assert id == handle.id
        os.kill(int(pid), signal.SIGKILL)
    with pytest.raises(WorkerCrashed) as failed:
        handle.result(timeout=LONG)
    assert "SIGKILL" in failed.value.message
    assert others.results(timeout=LONG) == list(range(100))
    supervisor.wait_for("failed as WorkerCrashed")
    assert len(supervisor.about("SIGKILL")) == 3
    assert supervisor.stop() == 0


def test_the_death_of_an_idle_worker_is_logged_once_and_it_is_replaced(bench: Bench) -> None:
    supervisor = bench.start(workers=1)
    (worker,) = supervisor.workers()
    worker.kill()
    line = supervisor.wait_for("SIGKILL")
    assert f"pid {worker.pid}" in line
    assert "while it ran no job" in line
    assert bench.manager.enqueue(name="say", queue="q", data="x").result(timeout=LONG) != worker.pid
    assert len(supervisor.about("SIGKILL")) == 1
    assert supervisor.stop() == 0


def test_when_the_nursery_is_killed_another_one_comes_and_no_job_is_blamed(bench: Bench) -> None:
    supervisor = bench.start(workers=1)
    handle = bench.manager.enqueue(name="hold", queue="q", options={"max_crashes": 1})
    bench.hear()
    old = supervisor.nursery()
    old.kill()
    assert bench.hear()[:2] == ["holds", handle.id]
    assert supervisor.nursery().pid != old.pid
    bench.open_gate()
    assert handle.result(timeout=LONG) == 1
    assert supervisor.stop() == 0


@pytest.mark.parametrize("with_its_group", [False, True])
def test_nothing_is_left_of_a_supervisor_that_is_killed_while_a_worker_holds_the_interpreter(
    bench: Bench, with_its_group: bool
) -> None:
    supervisor = bench.begin(workers=2, through=["setsid"])
    supervisor.wait_for("ready")
    bench.manager.enqueue(name="regex", queue="q")
    bench.manager.enqueue(name="overrun", queue="q", data="child", options={"timeout": 600})
    for _ in range(3):
        bench.hear()
    processes = supervisor.tree()
    assert len(processes) >= 5
    if with_its_group:
        os.killpg(supervisor.process.pid, signal.SIGKILL)
    else:
        supervisor.process.kill()
    began = time.monotonic()
    supervisor.end()
    _, left = psutil.wait_procs(processes, timeout=LONG)
    assert not left
    assert time.monotonic() - began < LONG / 2  # 0.5 s on a machine that has nothing else to do
    second = bench.begin(workers=1)
    second.wait_for("was lost: its jobs have been given back")
    assert bench.hear()[0] in ("holds", "runs")
    assert second.halt() == 1


def test_a_worker_that_keeps_dying_at_its_start_is_replaced_with_a_growing_pause(bench: Bench) -> None:
    (bench.folder / "sick.py").write_text(
        "from tempotask import QueueManager\n"
        "def context():\n    raise ValueError('no model here')\n"
        "tempotask = QueueManager.init(ctx=context)\n"
    )
    supervisor = bench.begin(app="sick:tempotask", folder=bench.folder, workers=1)
    for pause in ("0.1 s", "0.2 s", "0.4 s"):
        assert pause in supervisor.wait_for("the next one starts in")
    assert "no model here" in supervisor.log
    assert supervisor.stop() == 0


def test_jobs_that_had_ended_unsettled_when_their_worker_died_are_told_as_suspects_and_not_the_others(
    bench: Bench,
) -> None:
    play.hire(bench.store, "w")
    ids = [job.id for job in bench.manager.enqueue_many({"name": "echo", "queue": "q"} for _ in range(40))]
    held = play.turn(bench.store, "w", 1).ids
    assert len(held) > 3
    turn, _ = bench.store.opened("w")
    death = Death("w", Cause.CRASH, turn, None, 0.0, "was killed by SIGKILL", ended=range(1, 3))
    findings = Recovery(bench.store, (), dict.fromkeys(FINISHED, 10)).recover(death)
    assert [job.id for job in findings.suspected] == held[1:3]
    assert findings.given_back == len(held) - 2
    assert play.waiting(bench.store) == ids
    bench.store.leave("s")


@pytest.mark.parametrize("max_crashes", [1, 2])
def test_a_verdict_whose_answer_was_lost_is_passed_once_and_counts_no_other_jobs(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, max_crashes: int
) -> None:
    play.hire(bench.store, "w")
    bench.manager.enqueue(name="echo", queue="q", options={"max_crashes": max_crashes})
    play.turn(bench.store, "w", 1)
    turn, _ = bench.store.opened("w")
    give_back = bench.store.give_back_all

    def twice(*arguments: Any, **named: Any) -> tuple[int, bool]:
        give_back(*arguments, **named)
        return give_back(*arguments, **named)

    monkeypatch.setattr(bench.store, "give_back_all", twice)
    death = Death("w", Cause.CRASH, turn, 0, 0.0, "was killed by SIGKILL")
    findings = Recovery(bench.store, (), dict.fromkeys(FINISHED, 10)).recover(death)
    assert (findings.verdict, findings.given_back) == ("had been seen to already", 0)
    row = lists.queues(bench.store)[0]
    assert (row.failed, row.waiting) == ((1, 0) if max_crashes == 1 else (0, 1))
    bench.store.leave("s")


def kill_one(processes: list[psutil.Process], chance: random.Random) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in processes and [chance.choice(processes)]:
            process.kill()


def proved(bench: Bench, ids: list[str], kills: int) -> None:
    """That each of these jobs was finished, and none cut off more often than there were kills."""
    began, ended = (Counter(id for id, what, *_ in bench.entries() if what == word) for word in ("start", "end"))
    assert set(ended) == set(ids)
    assert sum((began - ended).values()) <= kills
    tokens = [token for _, what, token, _ in bench.entries() if what == "start"]
    assert len(set(tokens)) == len(tokens), "two starts have the same fencing token"


def test_twenty_kills_of_workers_lose_nothing_settle_nothing_twice_and_blame_nobody_else(bench: Bench) -> None:
    supervisor = bench.start(workers=2)
    options = {"max_crashes": 1000}
    handles = bench.manager.enqueue_many(
        {"name": "enter", "queue": "q", "data": 0.004, "options": options} for _ in range(900)
    )
    chance = random.Random(20)
    for kill in range(20):
        wait_until(lambda kill=kill: len(bench.entries()) > 60 * kill, "nothing runs any more")
        kill_one(supervisor.workers(), chance)
    results = handles.results(timeout=LONG)
    assert supervisor.stop() == 0
    proved(bench, [handle.id for handle in handles], 20)
    entries = {(id, int(token)) for id, what, token, _ in bench.entries() if what == "end"}
    assert all((handle.id, token) in entries for handle, token in zip(handles, results, strict=True))
    counts = bench.store.read("HGETALL", "counts:q")
    assert int(counts[b"completed"]) == 900
    assert b"failed" not in counts
    started = {id for id, what, *_ in bench.entries() if what == "start"}
    blamed = [line.split(" while it ran job ")[1].split()[0] for line in supervisor.about(" while it ran job ")]
    assert set(blamed) <= started
    assert len(blamed) <= 20


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killing_any_process_at_any_time_loses_nothing(bench: Bench) -> None:
    """Workers, nurseries and supervisors; whoever started the supervisor starts it again."""
    options = {"max_crashes": 1000}
    handles = bench.manager.enqueue_many(
        {"name": "enter", "queue": "q", "data": 0.004, "options": options} for _ in range(3000)
    )
    chance = random.Random(3)
    running = [bench.start(workers=2)]

    def gone_on(by: int) -> bool:
        if running[-1].process.poll() is not None:
            running.append(bench.begin(workers=2))
        return len(bench.entries()) > by

    for kill in range(40):
        wait_until(lambda kill=kill: gone_on(100 * kill), "nothing runs any more")
        kill_one(running[-1].tree(), chance)
    wait_until(lambda: gone_on(0) and bench.store.quiet(), "it does not come to an end", within=5 * LONG)
    handles.results(timeout=LONG)
    running[-1].stop()
    ended = Counter(id for id, what, *_ in bench.entries() if what == "end")
    assert set(ended) == {handle.id for handle in handles}
    assert int(bench.store.read("HGET", "counts:q", "completed")) == 3000
    # What the last one held when it was killed is given back by whoever comes.
    assert bench.begin("--drain", workers=1).end() == 0


def test_how_far_a_job_came_is_known_also_if_its_process_died(bench: Bench) -> None:
    bench.start(workers=1)
    handle = bench.manager.enqueue(name="far", queue="q", options={"max_crashes": 1})
    wait_until(lambda: handle.info().progress, "it is not seen how far the job is")
    os.kill(int(bench.hear()[2]), signal.SIGKILL)
    with pytest.raises(WorkerCrashed):
        handle.result(timeout=LONG)
    progress = handle.info().progress
    assert progress is not None
    assert (progress.done, progress.total) == (7, 10)
