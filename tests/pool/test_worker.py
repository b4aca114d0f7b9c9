"""What becomes of jobs in real workers."""

from __future__ import annotations

import itertools
import os
import time
import traceback
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from pool.running import LONG, Bench, wait_until

from tempotask import JobFailed, QueueManager
from tempotask.pool.control_block import ControlBlock
from tempotask.pool.report import WorkerSpec
from tempotask.pool.worker import Worker
from tempotask.store.records import encode


def failure(bench: Bench, name: str, data: object = None, **options: object) -> JobFailed:
    """How a job fails."""
    with pytest.raises(JobFailed) as failed:
        bench.manager.enqueue(name=name, queue="q", data=data, options=options).result(timeout=LONG)
    return failed.value


def test_a_handler_that_fails_is_tried_again_as_often_as_it_may(bench: Bench) -> None:
    supervisor = bench.start()
    enough = bench.manager.enqueue(name="flaky", queue="q", data=2, options={"attempts": 3})
    assert enough.result(timeout=LONG) == 3
    assert [bench.hear()[:2] for _ in range(3)] == [["tries", str(n)] for n in (1, 2, 3)]
    short = bench.manager.enqueue(name="flaky", queue="q", data=3, options={"attempts": 2})
    with pytest.raises(JobFailed) as failed:
        short.result(timeout=LONG)
    assert (failed.value.type, failed.value.message) == ("ValueError", "attempt 2")
    assert 'raise ValueError(f"attempt {job.attempt}")' in failed.value.traceback
    assert "runner.py" not in failed.value.traceback
    assert failed.value.traceback.rstrip() in "".join(traceback.format_exception(failed.value))
    assert [error.message for error in short.info().errors] == ["attempt 1", "attempt 2"]
    supervisor.stop()


def test_between_two_tries_passes_the_delay_that_was_asked_for(bench: Bench) -> None:
    bench.start()
    fixed = {"attempts": 3, "retry_delay": 0.3}
    for options, low, high in (
        (fixed, (0.3, 0.3), (0.3, 0.3)),
        ({**fixed, "backoff": "exponential"}, (0.15, 0.3), (0.3, 0.6)),
        ({**fixed, "backoff": "exponential", "max_retry_delay": 0.2}, (0.1, 0.1), (0.2, 0.2)),
    ):
        handle = bench.manager.enqueue(name="flaky", queue="q", data=2, options=options)
        times = [float(bench.hear()[2]) for _ in range(3)]
        handle.result(timeout=LONG)
        pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
        # The server counts whole milliseconds. Above, only a machine that is very busy makes it longer.
        for pause, least, most in zip(pauses, low, high, strict=True):
            assert least - 0.002 <= pause < most + 5


def test_a_delayed_job_runs_when_it_is_due_though_all_workers_are_idle(bench: Bench) -> None:
    bench.start()
    bench.manager.enqueue(name="echo", queue="q").result(timeout=LONG)
    began = time.monotonic()
    delayed = bench.manager.enqueue(name="echo", queue="q", data=1, options={"delay": 3})
    until = datetime.now(UTC) + timedelta(seconds=0.5)
    earlier = bench.manager.enqueue(name="echo", queue="q", data=2, options={"delay_until": until})
    assert delayed.status() == "delayed"
    assert earlier.result(timeout=LONG) == 2
    assert time.monotonic() - began >= 0.45
    assert delayed.result(timeout=LONG) == 1
    # Workers that are idle look by themselves after 30 s.
    assert 2.95 <= time.monotonic() - began < 20
    sooner, later = earlier.info().started_at, delayed.info().started_at
    assert sooner is not None
    assert later is not None
    assert sooner < later


def test_higher_priorities_run_first_and_equals_in_their_order(bench: Bench) -> None:
    jobs = [(n, priority) for n, priority in enumerate((0, 5, -3, 5, 0, 1_000_000))]
    bench.manager.enqueue_many(
        {"name": "say", "queue": "q", "data": str(n), "options": {"priority": priority}} for n, priority in jobs
    )
    bench.start(workers=1)
    order = [int(bench.hear()[1]) for _ in jobs]
    assert order == [5, 1, 3, 0, 4, 2]


def test_coroutines_run_in_a_loop_that_outlives_what_goes_wrong_in_it(bench: Bench) -> None:
    bench.start(workers=1)
    assert bench.manager.enqueue(name="anap", queue="q", data=0).result(timeout=LONG) == "slept"
    assert failure(bench, "aend", "sys.exit").type == "SystemExit"
    assert failure(bench, "aend", "interrupt").type == "KeyboardInterrupt"
    assert bench.manager.enqueue(name="anap", queue="q", data=0.001).result(timeout=LONG) == "slept"


def test_whatever_a_handler_raises_is_a_failure_and_the_worker_goes_on(bench: Bench) -> None:
    supervisor = bench.start(workers=1)
    (before,) = supervisor.workers()
    assert [failure(bench, "end", how).type for how in ("sys.exit", "interrupt", "recursion")] == [
        "SystemExit", "KeyboardInterrupt", "RecursionError",
    ]  # fmt: skip
    assert bench.manager.enqueue(name="say", queue="q", data="x").result(timeout=LONG) == before.pid
    assert supervisor.stop() == 0
    assert not supervisor.about("worker ")


def test_a_payload_that_does_not_fit_fails_that_job_only_and_names_the_field(bench: Bench) -> None:
    bench.start(workers=1)
    good, bad = [{"size": 1}, {"size": 2, "name": "b"}], [{"size": 1}, {"size": "two"}]
    jobs = [{"name": "fit", "queue": "q", "data": data, "options": {"attempts": 3}} for data in (good, bad, good)]
    first, wrong, last = bench.manager.enqueue_many(jobs)
    assert (first.result(timeout=LONG), last.result(timeout=LONG)) == (2, 2)
    with pytest.raises(JobFailed) as failed:
        wrong.result(timeout=LONG)
    assert failed.value.type == "InvalidPayload"
    assert "$[1].size" in failed.value.message
    assert wrong.info().tries == 1


def test_a_result_that_can_not_be_sent_fails_the_job_and_says_where(bench: Bench) -> None:
    bench.start(workers=1)
    failed = failure(bench, "misfit", attempts=3)
    assert failed.type == "InvalidPayload"
    assert "result" in failed.message
    assert "a" in failed.message


def test_each_worker_makes_its_context_once(bench: Bench) -> None:
    supervisor = bench.start(workers=2)
    workers = {worker.pid for worker in supervisor.workers()}
    seen: set[tuple[int, int]] = set()

    def all_were_seen() -> bool:
        handles = bench.manager.enqueue_many({"name": "who", "queue": "q"} for _ in range(60))
        seen.update((ran_in, made_in) for ran_in, made_in in handles.results(timeout=LONG))
        return {ran_in for ran_in, _ in seen} == workers

    wait_until(all_were_seen, "one of them runs nothing")
    assert all(ran_in == made_in for ran_in, made_in in seen)


ONE = """
from tempotask import Job, QueueManager
tempotask = QueueManager.init()
@tempotask.task(queue="q")
def {name}(job: Job, ctx) -> str:
    return "{name}"
"""


def test_an_unknown_task_is_left_to_a_supervisor_that_declares_it_and_fails_without_one(bench: Bench) -> None:
    for name in ("old", "new"):
        (bench.folder / f"{name}app.py").write_text(ONE.format(name=name))
    old = bench.start(app="oldapp:tempotask", folder=bench.folder, workers=1)
    failed = failure(bench, "new", attempts=5)
    assert failed.type == "UnknownTask"
    assert "q/old" in failed.message
    new = bench.start(app="newapp:tempotask", folder=bench.folder, workers=1)
    handles = bench.manager.enqueue_many({"name": name, "queue": "q"} for name in ("old", "new") * 20)
    assert handles.results(timeout=LONG) == ["old", "new"] * 20
    assert {handle.info().tries for handle in handles} == {1}
    new.stop()
    assert failure(bench, "new").type == "UnknownTask"
    old.stop()


def test_an_unknown_task_is_told_some_of_those_that_are_known_and_how_many_more(bench: Bench) -> None:
    several = "from tempotask import QueueManager\ntempotask = QueueManager.init()\n"
    several += "for n in range(23):\n    tempotask.task(queue='q', name=f't{n}')(lambda job, ctx: None)\n"
    (bench.folder / "several.py").write_text(several)
    bench.start(app="several:tempotask", folder=bench.folder, workers=1)
    assert "q/t6 and 3 more; a supervisor takes up" in failure(bench, "new").message


def test_an_unknown_task_is_left_to_a_supervisor_whose_registration_is_of_another_version(bench: Bench) -> None:
    supervisor = bench.start(workers=1)
    bench.store.register("other", 3600, encode(["of another version"]))
    handle = bench.manager.enqueue(name="new", queue="q")
    wait_until(lambda: handle.status() == "delayed", "it is not left to the other one")
    bench.store.leave("other")
    with pytest.raises(JobFailed) as failed:
        handle.result(timeout=LONG)
    assert failed.value.type == "UnknownTask"
    supervisor.stop()
    assert not supervisor.about("exited")


def test_a_job_that_leaves_by_os_exit_counts_as_a_crash(bench: Bench) -> None:
    supervisor = bench.start(workers=1)
    failed = failure(bench, "end", "os._exit")
    assert failed.type == "WorkerCrashed"
    assert "exited with 4" in failed.message
    assert supervisor.stop() == 0
    assert len(supervisor.about("exited with 4")) == 3


def test_jobs_of_all_queues_come_to_all_workers_in_turn(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    (bench.folder / "three.py").write_text(
        "from chores import tempotask, enter\n"
        "for queue in ('a', 'b', 'c'):\n"
        "    tempotask.register_job(name='enter', queue=queue, handler=enter.handler)\n"
    )
    queues = ("a", "b", "c")
    handles = bench.manager.enqueue_many(
        {"name": "enter", "queue": queue, "data": 0.0} for queue in queues for _ in range(400)
    )
    of = {handle.id: handle.queue for handle in handles}
    monkeypatch.setenv("PYTHONPATH", str(bench.folder), prepend=os.pathsep)
    bench.start(app="three:tempotask", workers=2)
    handles.results(timeout=LONG)
    order = [of[id] for id, what, *_ in bench.entries() if what == "start"]
    assert len(order) == 1200
    for first in range(0, 1200 - 300, 50):
        part = Counter(order[first : first + 300])
        assert all(90 <= part[queue] <= 110 for queue in queues), part


def test_a_worker_whose_supervisor_is_gone_calls_it_in_vain_and_nothing_is_raised(
    server_url: str, namespace: str
) -> None:
    manager = QueueManager.init(db=server_url, namespace=namespace)
    read_end, write_end = os.pipe()
    worker = Worker(manager, WorkerSpec("w", "s", server_url, namespace, write_end), ControlBlock.create())
    os.close(read_end)
    worker._wake_supervisor()
    os.close(write_end)
    manager.close()


def test_an_idle_pool_is_silent(bench: Bench) -> None:
    """A supervisor alone renews its lease twelve times in it, by some three commands; nobody else says anything."""
    bench.start("--lease", "12")
    bench.manager.enqueue(name="echo", queue="q").result(timeout=LONG)
    client = bench.store.server.client()

    def commands() -> int:
        return int(client.info("stats")["total_commands_processed"])

    counted = commands(), time.monotonic()
    time.sleep(3)  # what happens in this time is what is asked
    said, seconds = commands() - counted[0] - 1, time.monotonic() - counted[1]
    assert said <= 5 * seconds
    wait_until(lambda: bench.store.quiet(), "not quiet")
