"""Ten mistakes that other queues have made, and had reported: each a test that shows why it can't happen here."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable

import psutil
import pytest
import redis
from pool.running import LONG, Bench, Supervisor, wait_until
from servers import OwnServer

from tempotask import JobCancelled, JobHandle, JobTimeout, WorkerCrashed

Make = Callable[[str], Bench]
LEASE = 2.0
"""Seconds, few: what outlasts it several times would be taken for lost by a queue that goes by time. For less, a busy
machine may let one supervisor stand still while the other looks."""


@pytest.fixture
def server(start_server: Callable[..., OwnServer]) -> OwnServer:
    return start_server("--appendonly", "yes", "--appendfsync", "always")


@pytest.fixture
def bench(server: OwnServer, make_bench: Make) -> Bench:
    return make_bench(server.url)


def add(bench: Bench, name: str, data: object = None, **options: object) -> JobHandle[object]:
    return bench.manager.enqueue(name=name, queue="q", data=data, options=options)


def two_on_a_short_lease(bench: Bench) -> list[Supervisor]:
    """Two supervisors, either of which would take over from the other soon."""
    return [bench.start("--lease", str(LEASE), workers=1) for _ in range(2)]


def wait_for_leases(bench: Bench, number: int = 3) -> None:
    """Until the leases that are held now would have run out so often, one after the other."""
    end = bench.store.now() + number * LEASE

    def later() -> bool:
        leases = bench.store.read("HGETALL", "leases").values()
        return bool(leases) and min(map(float, leases)) / 1000 > end

    wait_until(later, "the leases are not renewed")


def learn_that_jobs_are_short(bench: Bench, number: int = 2000) -> None:
    """From then on they come in large batches."""
    bench.manager.enqueue_many({"name": "echo", "queue": "q", "data": n} for n in range(number)).results(timeout=LONG)


def test_a_job_that_takes_longer_than_any_limit_of_the_server_is_not_run_again(bench: Bench) -> None:
    """Celery 5935: a job not acknowledged within the broker's visibility timeout is handed to another worker, and runs
    again and again. Here the supervisor renews a lease for what its workers run, however long that takes."""
    two_on_a_short_lease(bench)
    handle = add(bench, "hold")
    assert bench.hear()[:2] == ["holds", handle.id]
    wait_for_leases(bench)
    assert handle.status() == "processing"
    bench.open_gate()
    assert handle.result(timeout=LONG) == 1
    assert bench.hear_no_more()


def test_workers_go_on_with_their_work_after_every_reconnection(bench: Bench, server: OwnServer) -> None:
    """Celery 8030: after the connection to the broker was lost and made again, workers live and take no more jobs."""
    supervisor = bench.start(workers=2)
    workers = {worker.pid for worker in supervisor.workers()}

    def both_work() -> bool:
        return (
            set(bench.manager.enqueue_many([{"name": "nap", "queue": "q", "data": 0.05}] * 4).results(LONG)) == workers
        )

    for round in range(6):
        wait_until(lambda: bench.store.read("ZCARD", "idle") == 2, "they are not idle")
        if round % 3 == 2:
            server.kill()
            server.start()
        else:
            with redis.Redis.from_url(server.url) as client:
                client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        wait_until(both_work, "one of them takes no more jobs")
    assert {worker.pid for worker in supervisor.workers()} == workers


def test_a_handler_that_lets_no_other_code_of_its_process_run_is_not_taken_for_lost(bench: Bench) -> None:
    """BullMQ 2857, SAQ 209: a handler that keeps the processor busy keeps its worker from renewing its lock, so that
    its job counts as stalled and runs twice. Here workers renew nothing."""
    supervisors = two_on_a_short_lease(bench)
    handle = add(bench, "regex")
    assert bench.hear()[:2] == ["holds", handle.id]
    wait_for_leases(bench)
    assert handle.status() == "processing"
    assert bench.hear_no_more()
    assert handle.cancel()
    with pytest.raises(JobCancelled):
        handle.result(timeout=LONG)
    assert bench.hear_no_more()
    assert not any(supervisor.about("lost") for supervisor in supervisors)


def test_jobs_that_were_fetched_together_with_a_long_one_do_not_wait_for_it(bench: Bench) -> None:
    """Celery 6500: jobs that a worker has fetched in advance wait behind the long one it runs, while others idle."""
    bench.start(workers=2)
    learn_that_jobs_are_short(bench)
    names = ["hold", *["echo"] * 300]
    handles = bench.manager.enqueue_many({"name": name, "queue": "q", "data": "x"} for name in names)
    assert bench.hear()[:2] == ["holds", handles[0].id]
    assert [handle.result(timeout=LONG) for handle in handles[1:]] == ["x"] * 300
    assert handles[0].status() == "processing"
    bench.open_gate()
    assert handles[0].result(timeout=LONG) == 1


def test_a_kill_for_want_of_memory_neither_loses_a_job_nor_repeats_it_for_ever(bench: Bench) -> None:
    """Celery 1628: a worker killed by the kernel takes its job along. Taskiq-aio-pika 35: or it is delivered again
    without end, and kills again. Here it runs again until `max_crashes`, and then has failed."""
    bench.start(workers=1)

    def killed(handle: JobHandle[object]) -> None:
        # As the kernel does it: -9, without a word.
        what, id, pid = bench.hear()
        assert (what, id) == ("holds", handle.id)
        os.kill(int(pid), signal.SIGKILL)

    once = add(bench, "hold")
    killed(once)
    assert bench.hear()[:2] == ["holds", once.id]
    bench.open_gate()
    assert once.result(timeout=LONG) == 1
    always = add(bench, "hold", max_crashes=3)
    for _ in range(3):
        killed(always)
    with pytest.raises(WorkerCrashed):
        always.result(timeout=LONG)
    assert add(bench, "echo", 1).result(timeout=LONG) == 1
    assert bench.hear_no_more()


def test_one_dead_process_breaks_nothing_for_the_others(bench: Bench) -> None:
    """CPython 115634: one process of an executor ends, and all that was given to the executor fails or waits for ever.
    Here it is replaced, and nobody else notices."""
    supervisor = bench.start(workers=2)
    handles = bench.manager.enqueue_many({"name": "enter", "queue": "q", "data": 0.005} for _ in range(400))
    for round in range(5):
        wait_until(lambda round=round: len(bench.entries()) > 100 * round, "nothing runs")
        victim = random.choice(wait_until(supervisor.workers, "there is no worker"))
        victim.kill()
        supervisor.wait_for(f"pid {victim.pid}")
    assert len(handles.results(timeout=LONG)) == 400
    wait_until(lambda: len(supervisor.workers()) == 2, "a dead one is not replaced")


def test_a_job_does_not_stay_active_when_all_that_ran_it_is_gone(bench: Bench) -> None:
    """SAQ 127, Arq 343: after a crash of the worker a job is `active` for ever, and its id can't be used again."""
    lost = bench.start(workers=1)
    handle = add(bench, "hold", id="only-one")
    assert bench.hear()[:2] == ["holds", "only-one"]
    lost.kill_tree()
    assert handle.status() == "processing", "nobody has seen it yet"
    bench.start(workers=1)
    assert bench.hear()[:2] == ["holds", "only-one"]
    bench.open_gate()
    assert handle.result(timeout=LONG) == 1
    again = add(bench, "hold", id="only-one")
    assert again.created
    bench.open_gate()
    assert again.result(timeout=LONG) == 1


def test_a_time_limit_holds_in_code_that_never_comes_back_to_the_interpreter(bench: Bench) -> None:
    """RQ 323: the limit is a signal whose handler runs in Python, and so not while C code holds the interpreter."""
    bench.start(workers=1)
    began = time.monotonic()
    handle = add(bench, "overrun", "C", timeout=0.3)
    assert bench.hear()[:2] == ["runs", handle.id]
    with pytest.raises(JobTimeout):
        handle.result(timeout=LONG)
    assert time.monotonic() - began < LONG / 2  # 0.5 s on a machine that has nothing else to do
    assert add(bench, "echo", 1).result(timeout=LONG) == 1


def test_ending_a_job_never_hits_the_one_that_comes_after_it(bench: Bench) -> None:
    """Where a job is ended by a signal to the process that ran it, that may run the next one by then. Here the worker
    is stopped and looked at before anything is done to it."""
    bench.start(workers=1)
    for round in range(30):
        first = add(bench, "enter", 0.02, cancel_grace=0)
        second = add(bench, "enter", 0.03)
        wait_until(lambda id=first.id: any(entry[0] == id for entry in bench.entries()), "it does not run")
        # At random moments around its end.
        time.sleep(0.012 + 0.0005 * round)
        first.cancel()
        assert second.result(timeout=LONG)
        assert second.info().tries == 1
        starts = Counter(id for id, what, *_ in bench.entries() if what == "start")
        assert starts[second.id] == 1, "it was begun, hit, and begun again"


def test_no_grandchild_outlives_the_time_limit_of_the_job_that_began_it(bench: Bench) -> None:
    """Where a time limit ends a process, or its group, what has left the group lives on and keeps what it holds."""
    bench.start(app="relatives:tempotask", workers=1)
    handle = add(bench, "descend", timeout=0.5, kill_after=0)
    what, pid = bench.hear()
    assert what == "grandchild"
    with pytest.raises(JobTimeout):
        handle.result(timeout=LONG)
    wait_until(lambda: not psutil.pid_exists(int(pid)), "it lives on")
    assert isinstance(add(bench, "who").result(timeout=LONG), int)
