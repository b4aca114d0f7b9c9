"""Cancelling: what has not started never does, what runs is ended, and never is another job hit."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections import Counter
from typing import Any

import psutil
import pytest
from pool.running import LONG, Bench, wait_until
from pool.watched import Watched
from store import play

from tempotask import JobCancelled, JobHandle, linux
from tempotask.pool.control_block import CANCEL, INTERRUPT, INTERRUPT_INDEX, INTERRUPT_TURN, LIMIT, SETTLED, STARTED
from tempotask.pool.deaths import Cause
from tempotask.pool.housekeeper import compare
from tempotask.pool.orders import Cancel
from tempotask.store.connect import Server
from tempotask.store.store import Store

APP = "ending:tempotask"


# -- real workers


@pytest.mark.parametrize("how", ["loop", "C"])
def test_a_handler_that_gets_no_grace_is_ended_and_its_slot_works_again(bench: Bench, how: str) -> None:
    supervisor = bench.start(app=APP, workers=1)
    handle = bench.manager.enqueue(name="stay", queue="q", data=how, options={"max_crashes": 1})
    _, _, pid = bench.hear()
    began = time.monotonic()
    assert handle.cancel()
    after = bench.manager.enqueue(name="who", queue="q").result(timeout=LONG)
    assert time.monotonic() - began < 20, "it was waited for"
    assert after != int(pid)
    assert not psutil.pid_exists(int(pid))
    with pytest.raises(JobCancelled):
        handle.result(timeout=LONG)
    assert handle.status() == "cancelled"
    assert not handle.cancel(), "it has ended"
    assert supervisor.stop() == 0
    (line,) = supervisor.about("SIGKILL")
    assert handle.id in line
    assert "was cancelled" in line


def test_a_cancelled_handler_sees_it_and_may_end_by_itself(bench: Bench) -> None:
    supervisor = bench.start(app=APP, workers=1)
    handle = bench.manager.enqueue(name="heed", queue="q")
    _, _, pid = bench.hear()
    assert handle.cancel()
    assert bench.hear() == ["cleaned", handle.id]
    assert handle.status() == "cancelled"
    assert bench.manager.enqueue(name="who", queue="q").result(timeout=LONG) == int(pid)
    assert supervisor.stop() == 0
    assert not supervisor.about("SIGKILL")


def test_what_was_known_of_a_run_is_known_after_it_is_cancelled(bench: Bench) -> None:
    bench.start(app=APP, workers=1)
    handle = bench.manager.enqueue(name="heed", queue="q")
    bench.hear()
    wait_until(lambda: handle.info().started_at is not None, "it did not tell that it runs")
    before = handle.info()
    assert handle.cancel()
    after = handle.info()
    assert (after.status, after.tries, after.worker) == ("cancelled", 1, before.worker)
    assert (after.started_at, after.wait_seconds) == (before.started_at, before.wait_seconds)
    assert (after.host, bench.hear()) == (socket.gethostname(), ["cleaned", handle.id])
    assert after.run_seconds is not None


def test_a_cancelled_coroutine_is_cancelled_and_cleans_up(bench: Bench) -> None:
    supervisor = bench.start(app=APP, workers=1)
    handle = bench.manager.enqueue(name="linger", queue="q")
    _, _, pid = bench.hear()
    assert handle.cancel()
    assert bench.hear() == ["cleaned", handle.id]
    assert bench.manager.enqueue(name="who", queue="q").result(timeout=LONG) == int(pid)
    assert handle.status() == "cancelled"
    assert supervisor.stop() == 0


def test_a_handler_that_does_not_heed_is_ended_after_its_grace(bench: Bench) -> None:
    bench.start(app=APP, workers=1)
    handle = bench.manager.enqueue(name="stay", queue="q", data="loop", options={"cancel_grace": 0.3})
    _, _, pid = bench.hear()
    worker = psutil.Process(int(pid))
    began = time.monotonic()
    assert handle.cancel()
    worker.wait(LONG)
    assert time.monotonic() - began >= 0.25, "it got no grace"
    assert bench.manager.enqueue(name="who", queue="q").result(timeout=LONG) != int(pid)


def test_no_grace_is_longer_than_the_time_limit(bench: Bench) -> None:
    bench.start(app=APP, workers=1)
    options = {"cancel_grace": 600, "timeout": 0.5, "kill_after": 0.1}

    def cancelled() -> tuple[JobHandle[Any], str]:
        """A job, and where it ran."""
        while True:
            handle = bench.manager.enqueue(name="stay", queue="q", data="C", options=options)
            _, _, pid = bench.hear()
            # On a busy machine its time may be over first.
            if handle.cancel():
                return handle, pid

    handle, pid = cancelled()
    assert bench.manager.enqueue(name="who", queue="q").result(timeout=LONG) != int(pid)
    assert handle.status() == "cancelled"


@pytest.mark.parametrize("name", ["heed", "exceed"])
def test_the_job_behind_one_that_was_ended_may_start_processes(bench: Bench, name: str) -> None:
    """They are not taken for what the first one left behind."""
    supervisor = bench.start(app=APP, workers=1)
    for _ in range(20):
        first = bench.manager.enqueue(name=name, queue="q")
        behind = bench.manager.enqueue(name="bear", queue="p")
        if name == "heed":
            bench.hear()
            assert first.cancel()
            bench.hear()
        assert psutil.pid_exists(behind.result(timeout=LONG))
    started = Counter(id for id, what in bench.entries() if what == "start")
    assert set(started.values()) == {1}
    assert supervisor.stop() == 0
    assert not supervisor.about("was killed")


@pytest.mark.parametrize("how", ["child", "child that is left"])
def test_what_a_cancelled_handler_started_ends_with_it(bench: Bench, how: str) -> None:
    bench.start(app=APP, workers=1)
    grace = 0 if how == "child" else 30
    handle = bench.manager.enqueue(name="stay", queue="q", data=how, options={"cancel_grace": grace})
    child = bench.hear()[3]
    assert handle.cancel()
    wait_until(lambda: not psutil.pid_exists(int(child)), "its child lives on")
    assert bench.manager.enqueue(name="echo", queue="q", data=1).result(timeout=LONG) == 1


def test_neighbours_in_the_batch_of_a_cancelled_job_run_once(bench: Bench) -> None:
    """Those that were finished before it are settled before its process is killed."""
    bench.start(app=APP, workers=1)
    bench.manager.enqueue_many({"name": "echo", "queue": "q"} for _ in range(500)).results(timeout=LONG)

    def all_ran_once() -> bool:
        jobs = [{"name": "enter", "queue": "q", "data": 0.0} for _ in range(20)]
        jobs.insert(5, {"name": "stay", "queue": "q", "data": "loop"})
        handles = bench.manager.enqueue_many(jobs)
        assert bench.hear()[:2] == ["runs", handles[5].id]
        assert handles[5].cancel()
        others = {handle.id: handle.result(timeout=LONG) for handle in handles if handle is not handles[5]}
        starts = Counter(id for id, what, _ in bench.entries() if what == "start" and id in others)
        assert starts.keys() == others.keys()
        return set(starts.values()) == {1}

    # A busy machine may not let them be settled in the time that there is.
    assert any(all_ran_once() for _ in range(10))


def test_what_is_cancelled_in_a_batch_before_it_starts_never_does(bench: Bench) -> None:
    bench.start(app=APP, workers=1)
    bench.manager.enqueue_many({"name": "echo", "queue": "q"} for _ in range(500)).results(timeout=LONG)
    jobs = [{"name": "enter", "queue": "q", "data": 0.0} for _ in range(20)]
    handles = bench.manager.enqueue_many([{"name": "hold", "queue": "q"}, *jobs])
    bench.hear()
    assert all(handle.cancel() for handle in handles[5:10])
    bench.open_gate()
    for handle in (*handles[:5], *handles[10:]):
        handle.result(timeout=LONG)
    assert not {id for id, *_ in bench.entries()} & {handle.id for handle in handles[5:10]}
    assert {handle.status() for handle in handles[5:10]} == {"cancelled"}


def test_of_a_paused_queue_only_what_runs_goes_on(bench: Bench) -> None:
    bench.start(app=APP, workers=1)
    bench.manager.enqueue_many({"name": "echo", "queue": "q"} for _ in range(500)).results(timeout=LONG)
    jobs = [{"name": "enter", "queue": "q", "data": 0.0} for _ in range(20)]
    handles = bench.manager.enqueue_many([{"name": "hold", "queue": "q"}, *jobs])
    bench.hear()
    assert bench.manager.pause_queue("q")
    wait_until(lambda: {handle.status() for handle in handles[1:]} == {"waiting"}, "a worker keeps some")
    bench.open_gate()
    handles[0].result(timeout=LONG)
    assert not bench.entries()
    assert bench.manager.resume_queue("q")
    handles.results(timeout=LONG)
    assert Counter(id for id, what, _ in bench.entries() if what == "end") == {h.id: 1 for h in handles[1:]}


def test_no_job_is_hit_but_the_one_meant_while_cancels_race_with_starts_and_ends(bench: Bench) -> None:
    """Every second job has no grace, so that its process is killed; the others are told."""
    supervisor = bench.start(app=APP, workers=2)
    jobs = [
        {
            "name": "enter",
            "queue": "q",
            "data": random.choice((0.0, 0.001, 0.005)),
            "options": {"cancel_grace": n % 2 * 30},
        }
        for n in range(600)
    ]
    handles = bench.manager.enqueue_many(jobs)
    cancelled: set[str] = set()

    def cancel(some: list[int]) -> None:
        for n in some:
            if handles[n].cancel():
                cancelled.add(handles[n].id)

    meant = [n for n in range(600) if n % 3]
    threads = [threading.Thread(target=cancel, args=(meant[part::3],)) for part in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    for handle in handles:
        if handle.id in cancelled:
            with pytest.raises(JobCancelled):
                handle.result(timeout=LONG)
        else:
            handle.result(timeout=LONG)
    assert supervisor.stop() == 0
    written = Counter((id, what) for id, what, _ in bench.entries())
    for handle in handles:
        if handle.id in cancelled:
            assert handle.status() == "cancelled"
        else:
            starts, ends, told = (written[handle.id, what] for what in ("start", "end", "told"))
            # What has ended runs once more where a busy machine does not let it be settled before the kill behind it.
            assert (starts, told) == (ends, 0), "another job was hit"
            assert starts


# -- a watch on its own


def test_an_order_for_a_turn_that_is_still_on_its_way_is_kept_until_it_is_there(watched: Watched) -> None:
    watched.take(3, 5, 5)
    watched.watch.cancel(Cancel("4", 1, 0.0))
    assert watched.lives
    watched.take(4, 5, 0)
    until = watched.watch.next_deadline()
    assert until is not None
    watched.watch.tick(until)
    assert watched.block.words[LIMIT] == 1
    assert watched.given_back == [("w", "4", 1)]


def test_an_order_for_a_turn_that_is_past_hits_nobody(watched: Watched) -> None:
    watched.take(5, 5, 1)
    watched.watch.cancel(Cancel("4", 1, 0.0))
    assert watched.lives
    assert watched.block.words[LIMIT] == 5
    assert watched.watch.next_deadline() is None


def test_an_order_for_a_turn_of_the_same_number_that_was_handed_over_otherwise_hits_nobody(watched: Watched) -> None:
    watched.take(4, 5, 1, handed=1000)
    watched.watch.cancel(Cancel("4@1001", 1, 0.0))
    watched.watch.cancel(Cancel("4", 1, 0.0))
    assert watched.lives
    assert watched.block.words[LIMIT] == 5


def test_an_order_for_a_job_that_has_ended_hits_nobody(watched: Watched) -> None:
    watched.take(4, 5, 2)
    watched.watch.cancel(Cancel("4", 1, 0.0))
    assert watched.lives
    assert watched.block.words[LIMIT] == 5


def test_a_job_that_runs_without_grace_is_killed_at_once_when_nothing_before_it_is_to_be_settled(
    watched: Watched,
) -> None:
    watched.take(4, 5, 0)
    watched.watch.cancel(Cancel("4", 0, 0.0))
    assert watched.ends
    assert watched.given_back == [("w", "4", 1)]


def test_a_job_that_runs_gets_an_interrupt_with_its_turn(watched: Watched) -> None:
    watched.take(4, 5, 2)
    # What stands for the worker knows no signals: it must not be told.
    watched.worker.signal = lambda number: None  # type: ignore[method-assign]
    watched.watch.cancel(Cancel("4", 2, 60.0))
    words = watched.block.words
    assert (words[INTERRUPT], words[INTERRUPT_TURN], words[INTERRUPT_INDEX]) == (CANCEL, 4, 2)
    assert words[LIMIT] == 3
    assert watched.given_back == [("w", "4", 3)]
    assert watched.lives


def cancelled_with_a_child(watched: Watched) -> None:
    """A worker that has a child, and whose job was cancelled. What stands for it knows no signals, so none is sent."""
    watched.worker.signal = lambda number: None  # type: ignore[method-assign]
    watched.take(4, 5, 2)
    watched.watch.cancel(Cancel("4", 2, 60.0))
    watched.bear()


def test_a_worker_is_released_when_nothing_was_left_behind_a_job_that_was_to_end(watched: Watched) -> None:
    watched.worker.signal = lambda number: None  # type: ignore[method-assign]
    watched.take(4, 5, 2)
    watched.watch.cancel(Cancel("4", 2, 60.0))
    watched.block.words[STARTED] = 5
    watched.watch.tick(time.monotonic())
    assert watched.block.words[INTERRUPT_TURN] == 4, "it may settle first"
    watched.block.words[SETTLED] = 3
    watched.watch.tick(time.monotonic())
    assert watched.block.words[INTERRUPT_TURN] == 0
    assert watched.lives


def test_what_a_job_left_behind_costs_its_worker_its_life_while_that_stands_by(watched: Watched) -> None:
    cancelled_with_a_child(watched)
    watched.block.words[STARTED], watched.block.words[SETTLED] = 5, 3
    watched.watch.tick(time.monotonic())
    assert watched.ends


def test_a_worker_that_did_not_stand_by_is_let_live_with_whatever_children_it_has_by_now(watched: Watched) -> None:
    cancelled_with_a_child(watched)
    watched.take(5, 5, 0)
    watched.watch.tick(time.monotonic())
    assert watched.block.words[INTERRUPT_TURN] == 0
    assert watched.lives


def test_processes_that_a_worker_had_before_its_batch_are_not_what_a_job_left_behind(watched: Watched) -> None:
    cancelled_with_a_child(watched)
    since = linux.now_ns()
    wait_until(lambda: linux.now_ns() > since + 2 * linux.TICK_NS, "the clock stands still")
    watched.take(5, 5, 2)
    watched.watch.cancel(Cancel("5", 2, 60.0))
    watched.block.words[STARTED], watched.block.words[SETTLED] = 5, 3
    watched.watch.tick(time.monotonic())
    assert watched.lives


def test_of_several_orders_for_one_batch_none_is_lost(watched: Watched) -> None:
    watched.take(4, 9, 1)
    for index in (7, 3, 5):
        watched.watch.cancel(Cancel("4", index, 0.0))
    assert watched.block.words[LIMIT] == 3
    assert watched.given_back == [("w", "4", 7), ("w", "4", 3)]


def test_when_a_queue_is_paused_a_worker_gives_back_at_once_what_it_has_not_started(watched: Watched) -> None:
    watched.take(4, 9, 1)
    watched.watch.steal()
    assert watched.given_back == [("w", "4", 2)]
    # What was claimed before, and comes only now.
    watched.take(5, 9, 1)
    watched.watch.tick(time.monotonic())
    assert watched.given_back == [("w", "4", 2), ("w", "5", 2)]


def test_a_worker_that_is_told_to_end_while_it_starts_is_ended_at_once_and_nobody_is_blamed(watched: Watched) -> None:
    watched.watch.retire()
    assert watched.ends
    assert watched.watch.death("was killed by SIGKILL").cause is Cause.STOP


def test_the_death_of_a_worker_that_ended_of_itself_when_its_job_was_cancelled_is_no_crash(watched: Watched) -> None:
    watched.take(4, 5, 0)
    watched.worker.signal = lambda number: None  # type: ignore[method-assign]
    watched.watch.cancel(Cancel("4", 0, 60.0))
    assert watched.watch.death("exited with 1").cause is Cause.CANCEL
    watched.take(5, 5, 0)
    assert watched.watch.death("exited with 1").cause is Cause.CRASH


# -- an order that is lost


def test_a_lost_order_is_found_by_comparing_what_runs_with_what_is_held(server_url: str, namespace: str) -> None:
    store = Store(Server(server_url), namespace)
    play.hire(store, "w")
    play.enqueue(store, *"abcdef")
    batch = play.turn(store, "w", 1).batch
    assert batch is not None
    assert len(batch.records) >= 2
    assert compare(store, "s", {"w": (1, "1", 1)}).cancelled == []
    store.server.client().lset(f"{store.prefix}claims:w:1", 1, "")
    assert compare(store, "s", {"w": (1, "1", 1)}).cancelled == [("w", Cancel("1", 1, 0.2))]
    assert compare(store, "s", {"w": (1, "1", 0)}).cancelled == []
    store.close()
