"""Events of real workers: all of them, in their order, none twice."""

from __future__ import annotations

import logging
import math
import queue
from collections.abc import Iterator

import pytest
from pool.running import LONG, Bench, wait_until

from tempotask import Event, JobFailed
from tempotask.events import Listener
from tempotask.info import Progress
from tempotask.store.events import KINDS


class Listening:
    """All events of a namespace, as they come."""

    def __init__(self, bench: Bench) -> None:
        self._heard: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._subscriptions = [bench.manager.on(kind, self._heard.put) for kind in KINDS]

    def until(self, kind: str, id: str = "") -> list[Event]:
        """All up to the next of that kind, of that job if one is named."""
        events = [self._heard.get(timeout=LONG)]
        while events[-1].event != kind or (id and events[-1].id != id):
            events.append(self._heard.get(timeout=LONG))
        return events

    def close(self) -> None:
        for subscription in self._subscriptions:
            subscription.close()


@pytest.fixture
def listening(bench: Bench) -> Iterator[Listening]:
    listening = Listening(bench)
    yield listening
    listening.close()


def kinds(events: list[Event], id: str) -> list[str]:
    return [event.event for event in events if event.id == id]


def test_a_job_is_told_of_from_its_beginning_to_its_end(bench: Bench, listening: Listening) -> None:
    bench.start(app="voices:tempotask", workers=1)
    (up,) = listening.until("worker")
    assert (up.event, up.reason, up.id) == ("worker", "up", "")
    (supervisor,) = bench.store.registrations()
    assert up.supervisor == supervisor
    job = bench.manager.enqueue(name="echo", queue="q", data={"a": [1, None]})
    job.result(timeout=LONG)
    waiting, started, completed = listening.until("completed")
    assert (waiting.event, started.event, completed.event) == ("waiting", "started", "completed")
    assert {event.id for event in (waiting, started, completed)} == {job.id}
    assert completed.result == {"a": [1, None]}
    assert (started.attempt, started.worker) == (1, up.worker)
    info = job.info()
    assert info.started_at is not None
    assert abs((started.at - info.started_at).total_seconds()) < 1
    large = bench.manager.enqueue(name="large", queue="q", data=5000)
    assert listening.until("completed")[-1].result is None
    assert len(str(large.result(timeout=LONG))) == 5000


def test_what_runs_long_is_told_of_while_it_runs(bench: Bench, listening: Listening) -> None:
    bench.start(app="voices:tempotask", workers=1)
    job = bench.manager.enqueue(name="step", queue="q", data=["one", "two"])
    first = listening.until("progress")
    assert kinds(first, job.id) == ["waiting", "started", "progress"]
    assert first[-1].progress == Progress(1, 2, "one")
    bench.open_gate()
    assert [event.progress for event in listening.until("progress")] == [Progress(2, 2, "two")]
    bench.open_gate()
    # Neither its start nor its last progress is told once more.
    assert kinds(listening.until("completed"), job.id) == ["completed"]


def test_each_of_many_short_jobs_is_told_of_once_and_in_order(bench: Bench, listening: Listening) -> None:
    bench.start(app="voices:tempotask", workers=2)
    jobs = bench.manager.enqueue_many({"name": "quick", "queue": "q"} for _ in range(3000))
    left, told = {job.id for job in jobs}, dict[str, list[str]]()
    while left:
        (*before, last) = listening.until("completed")
        for event in (*before, last):
            told.setdefault(event.id, []).append(event.event)
        left.discard(last.id)
    assert {tuple(told[job.id]) for job in jobs} == {("waiting", "started", "progress", "completed")}


@pytest.mark.parametrize("delay", [0.01, 0.0])
def test_every_try_is_told_of(bench: Bench, listening: Listening, delay: float) -> None:
    bench.start(app="voices:tempotask", workers=1)
    job = bench.manager.enqueue(name="stumble", queue="q", data=3, options={"retry_delay": delay})
    bench.open_gate()
    events = [event for event in listening.until("failed") if event.id == job.id]
    between = ["started", "retrying", "waiting"]
    assert [event.event for event in events] == ["waiting", *between, *between, "started", "failed"]
    assert [event.attempt for event in events if event.attempt] == [1, 1, 2, 2, 3, 3]
    assert (events[2].type, events[2].error, events[2].delay) == ("ValueError", "attempt 1", delay)
    assert (events[-1].type, events[-1].error) == ("ValueError", "attempt 3")


@pytest.mark.parametrize("seen", [True, False], ids=["told that it runs", "not told yet"])
def test_a_death_of_its_process_is_told_of(bench: Bench, listening: Listening, seen: bool) -> None:
    bench.start(app="voices:tempotask", workers=1)
    listening.until("worker")
    job = bench.manager.enqueue(name="die", queue="q", options={"max_crashes": 2})
    assert bench.hear() == ["dies"]
    if seen:
        assert kinds(listening.until("started"), job.id) == ["waiting", "started"]
    bench.open_gate()
    (*before, gone) = listening.until("worker")
    assert kinds(before, job.id) == (["stalled"] if seen else ["waiting", "started", "stalled"])
    assert (gone.reason, [gone.supervisor]) == ("gone", list(bench.store.registrations()))
    assert bench.hear() == ["dies"]
    bench.open_gate()
    last = listening.until("failed")
    assert kinds(last, job.id) == ["started", "failed"]
    assert last[-1].type == "WorkerCrashed"
    with pytest.raises(JobFailed):
        job.result(timeout=LONG)


def test_who_subscribes_while_a_job_runs_is_told_of_its_end(bench: Bench) -> None:
    bench.start(app="voices:tempotask", workers=1)
    job = bench.manager.enqueue(name="step", queue="q", data=["one"])
    assert bench.hear() == ["said", "one"]
    wait_until(lambda: job.info().progress, "it is not seen how far the job is")
    heard: queue.SimpleQueue[Event] = queue.SimpleQueue()
    with bench.manager.on("completed", heard.put, queue="q", name="step"):
        bench.open_gate()
        event = heard.get(timeout=LONG)
    assert (event.id, event.result) == (job.id, 1)
    assert not bench.store.read("EXISTS", "events")


def test_a_cancelled_job_is_told_of_as_cancelled_and_nothing_else(bench: Bench, listening: Listening) -> None:
    bench.start(app="voices:tempotask", workers=1)
    runs = bench.manager.enqueue(name="step", queue="q", data=["one"], options={"cancel_grace": 0})
    waits = bench.manager.enqueue(name="echo", queue="q")
    told = listening.until("progress")
    assert waits.cancel()
    assert kinds([*told, *listening.until("cancelled")], waits.id) == ["waiting", "cancelled"]
    assert runs.cancel()
    last = bench.manager.enqueue(name="echo", queue="q")
    later = listening.until("completed")
    assert later[-1].id == last.id
    assert kinds([*told, *later], runs.id) == ["waiting", "started", "progress", "cancelled"]


def test_a_job_that_is_cancelled_as_soon_as_it_has_started_is_told_of_as_started(
    bench: Bench, listening: Listening
) -> None:
    bench.start(app="voices:tempotask", workers=1)
    listening.until("worker")
    job = bench.manager.enqueue(name="die", queue="q", options={"cancel_grace": 0})
    assert bench.hear() == ["dies"]
    assert job.cancel()
    events = listening.until("cancelled")
    assert kinds(events, job.id) == ["waiting", "started", "cancelled"]
    assert [(event.attempt, event.name) for event in events if event.event == "started"] == [(1, "die")]


def test_a_time_limit_that_costs_the_process_is_told_of_as_a_failure(bench: Bench, listening: Listening) -> None:
    bench.start(app="voices:tempotask", workers=1)
    job = bench.manager.enqueue(name="deaf", queue="q", options={"timeout": 0.2, "kill_after": 0, "attempts": 2})
    events = [event for event in listening.until("failed") if event.id == job.id and event.event != "waiting"]
    assert [event.event for event in events] == ["started", "retrying", "started", "failed"]
    assert [event.attempt for event in events] == [1, 1, 2, 2]
    assert {event.type for event in events} == {None, "JobTimeout"}


def test_who_has_just_stopped_listening_is_not_told_that_events_were_missed(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    listener = Listener(bench.store.server, bench.store)
    # The server knows it no more, and its thread says once more that it listens.
    listener.stop()
    listener._renewed = -math.inf
    with caplog.at_level(logging.WARNING, "tempotask"):
        listener._renew()
    listener.stop()
    assert not caplog.records
