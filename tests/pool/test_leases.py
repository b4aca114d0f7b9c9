"""Hosts that are lost: stopped past their lease, and perhaps back."""

from __future__ import annotations

import signal
import time
from collections import Counter

import psutil
from pool.running import LONG, Bench, Supervisor, wait_until

from tempotask.pool.deaths import Recovery
from tempotask.pool.leases import Leases, register


def stop_tree(supervisor: Supervisor) -> None:
    """As a virtual machine that is suspended. From the top, or parents would look after their children."""
    for process in supervisor.tree():
        process.send_signal(signal.SIGSTOP)


def continue_tree(supervisor: Supervisor) -> None:
    """From the bottom: workers are on their way before anybody tells them that they are lost."""
    for process in reversed(supervisor.tree()):
        process.send_signal(signal.SIGCONT)


def test_jobs_of_a_host_that_stands_still_end_once_on_another_and_it_comes_back_under_a_new_id(bench: Bench) -> None:
    first = bench.start("--lease", "1", workers=2)
    (lost,) = bench.store.registrations()
    handles = bench.manager.enqueue_many({"name": "enter", "queue": "q", "data": 0.002} for _ in range(1200))
    wait_until(lambda: len(bench.entries()) > 100, "nothing runs")
    stop_tree(first)
    began = time.monotonic()
    second = bench.begin("--lease", "1", workers=1)
    assert lost in second.wait_for("was lost")
    assert time.monotonic() - began > 0.5
    wait_until(lambda: bench.store.quiet(), "the other one does not finish")
    results = handles.results(timeout=LONG)
    tokens = {(id, int(token)) for id, what, token, _ in bench.entries() if what == "end"}
    assert all((handle.id, token) in tokens for handle, token in zip(handles, results, strict=True))
    continue_tree(first)
    first.wait_for("starting over under a new id")
    wait_until(lambda: len(bench.store.registrations()) == 2, "it does not come back")
    assert lost not in bench.store.registrations()
    more = bench.manager.enqueue_many({"name": "nap", "queue": "q", "data": 0.01} for _ in range(100))
    wait_until(lambda: len(first.workers()) == 2, "its workers do not come back")
    ran_in = set(more.results(timeout=LONG))
    again = bench.manager.enqueue_many({"name": "nap", "queue": "q", "data": 0.01} for _ in range(200))
    ran_in |= set(again.results(timeout=LONG))
    assert ran_in & {worker.pid for worker in first.workers()}
    assert handles.results(timeout=LONG) == results
    assert int(bench.store.read("HGET", "counts:q", "completed")) == 1500
    assert first.stop() == second.stop() == 0


def test_results_of_one_who_was_taken_for_lost_are_refused(bench: Bench) -> None:
    first = bench.start("--lease", "1", workers=1)
    # Long enough to be stopped at work on a busy machine. While it stands still its time goes on.
    handle = bench.manager.enqueue(name="enter", queue="q", data=4)
    wait_until(bench.entries, "nothing runs")
    stop_tree(first)
    second = bench.begin("--lease", "1", workers=1)
    second.wait_for("was lost")
    token = handle.result(timeout=LONG)
    # The worker alone goes on: it finishes the job, and finds that nobody knows it any more.
    (worker,) = first.workers()
    worker.send_signal(signal.SIGCONT)
    first.wait_for("is not known any more and ends")
    ends = Counter(id for id, what, *_ in bench.entries() if what == "end")
    assert ends[handle.id] == 2
    assert handle.result(timeout=LONG) == token == max(int(token) for *_, token, _ in bench.entries())
    assert int(bench.store.read("HGET", "counts:q", "completed")) == 1
    continue_tree(first)
    first.wait_for("starting over under a new id")
    wait_until(lambda: len(first.workers()) == 1, "its worker does not come back")
    wait_until(lambda: len(bench.store.registrations()) == 2, "it does not come back")
    assert first.stop() == second.stop() == 0


def test_the_jobs_of_a_machine_that_lost_its_power_are_given_back_at_once_by_its_successor(bench: Bench) -> None:
    first = bench.start("--lease", "600", workers=2)
    handles = bench.manager.enqueue_many({"name": "enter", "queue": "q", "data": 0.005} for _ in range(200))
    wait_until(lambda: len(bench.entries()) > 20, "nothing runs")
    first.kill_tree()
    second = bench.begin("--lease", "600", "--drain", workers=2)
    assert second.end() == 0
    assert second.about("was lost: its jobs have been given back")
    assert len(handles.results(timeout=LONG)) == 200
    assert int(bench.store.read("HGET", "counts:q", "completed")) == 200


def test_a_supervisor_that_nobody_has_reaped_yet_is_dead_all_the_same(bench: Bench) -> None:
    first = bench.start("--lease", "600", workers=1)
    handle = bench.manager.enqueue(name="hold", queue="q")
    bench.hear()
    process = psutil.Process(first.process.pid)
    first.process.kill()
    wait_until(lambda: process.status() == psutil.STATUS_ZOMBIE, "it lives on")
    second = bench.begin("--lease", "600", workers=1)
    second.wait_for("was lost: its jobs have been given back")
    assert bench.hear()[:2] == ["holds", handle.id]
    bench.open_gate()
    assert handle.result(timeout=LONG) == 1
    assert second.stop() == 0


def test_a_live_supervisor_is_never_taken_for_lost(bench: Bench) -> None:
    lease = 2
    first, second = (bench.start("--lease", str(lease), workers=1) for _ in range(2))
    end = bench.store.now() + 3 * lease
    bench.manager.enqueue_many({"name": "enter", "queue": "q", "data": 0.003} for _ in range(700)).results(LONG)

    def later() -> bool:
        return min(int(held) / 1000 for held in bench.store.read("HVALS", "leases")) > end

    wait_until(later, "the leases are not renewed")
    assert not first.about("lost")
    assert not second.about("lost")
    assert first.stop() == second.stop() == 0
    began = Counter(id for id, what, *_ in bench.entries() if what == "start")
    assert set(began.values()) == {1}


def test_who_stood_still_itself_takes_nobody_for_lost_at_its_first_look(bench: Bench) -> None:
    store, lease = bench.store, 1.0
    for name in ("first", "second"):
        register(store, name, lease, [], 0, [], "app")
    first, second = (Leases(store, name, lease, Recovery(store, [], {})) for name in ("first", "second"))
    assert second.renew(tidy=False)[1] == []
    # All stand still, and the server alone goes on: whoever is back first must not sweep the others.
    wait_until(lambda: store.now() > int(store.read("HGET", "leases", "first")) / 1000, "the lease does not run out")
    assert second.renew(tidy=False)[1] == []
    assert first.renew(tidy=False)[0] is not None
    wait_until(lambda: second.renew(tidy=False)[1] == ["first"], "it is never taken for lost")
    assert first.renew(tidy=False)[0] is None
