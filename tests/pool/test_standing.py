"""What supervisors tell while somebody looks, of real workers; and that they do nothing for it while nobody does."""

from __future__ import annotations

import signal
from collections.abc import Callable

from pool.running import Bench, Supervisor, wait_until

from tempotask.pool.standing import Standing, WorkerStanding, decode


def look(bench: Bench, supervisor: str, milliseconds: object) -> None:
    bench.store.notify([f"orders:{supervisor}"], f"look {milliseconds}")


def told(bench: Bench, supervisor: str) -> Standing | None:
    stored = bench.store.read("GET", f"standing:{supervisor}")
    return decode(stored) if stored else None


def told_when(bench: Bench, what: Callable[[WorkerStanding], object], why: str) -> Standing:
    """The first answer in which that is true of a worker."""
    (supervisor,) = bench.store.registrations()
    look(bench, supervisor, 60_000)

    def seen() -> Standing | None:
        standing = told(bench, supervisor)
        return standing if standing is not None and any(map(what, standing.workers)) else None

    standing = wait_until(seen, why)
    assert standing is not None
    return standing


def test_it_is_told_which_job_each_worker_runs_and_for_how_long(bench: Bench) -> None:
    supervisor = bench.start(workers=2)
    held = bench.manager.enqueue(name="hold", queue="q")
    _, _, pid = bench.hear()
    standing = told_when(bench, lambda worker: (worker.seconds or 0) > 1, "it does not run for a second")
    (busy,) = [worker for worker in standing.workers if worker.state == "busy"]
    assert (busy.id, busy.queue, busy.name, busy.pid) == (held.id, "q", "hold", int(pid))
    assert (busy.number, busy.batch) == (1, 1)
    assert busy.memory_bytes > 1 << 20
    (idle,) = [worker for worker in standing.workers if worker is not busy]
    assert (idle.state, idle.id, idle.seconds, idle.batch) == ("idle", None, None, None)
    assert {worker.pid for worker in standing.workers} == {worker.pid for worker in supervisor.workers()}
    bench.open_gate()
    told_when(bench, lambda worker: worker.worker == busy.worker and worker.state == "idle" and worker.jobs, "not idle")


def test_a_batch_is_told_of_with_the_place_of_the_job_that_runs(bench: Bench) -> None:
    supervisor = bench.start(workers=1)
    held = bench.manager.enqueue(name="hold", queue="q")
    bench.hear()
    # Behind it a batch of many comes about, of which no job takes long enough to be stolen from.
    bench.manager.enqueue_many({"name": "nap", "queue": "q", "data": 0.004} for _ in range(20_000))
    bench.open_gate()
    standing = told_when(bench, lambda worker: (worker.batch or 0) > 1 and worker.name == "nap", "there is no batch")
    (worker,) = standing.workers
    assert 1 <= (worker.number or 0) <= (worker.batch or 0)
    assert worker.id != held.id
    assert supervisor.halt() == 1


def test_a_job_that_burns_is_told_of_with_what_it_burns(bench: Bench) -> None:
    supervisor = bench.start(workers=2)
    bench.manager.enqueue(name="overrun", queue="q", data="loop")
    bench.hear()
    standing = told_when(bench, lambda worker: (worker.cpu_percent or 0) > 5, "no worker burns")
    assert {worker.state for worker in standing.workers} == {"busy", "idle"}
    assert supervisor.halt() == 1


def test_nothing_is_told_before_somebody_looks_nor_when_the_time_is_over(bench: Bench) -> None:
    bench.start(workers=1)
    bench.manager.enqueue(name="echo", queue="q").result(60)
    (supervisor,) = bench.store.registrations()
    assert told(bench, supervisor) is None
    look(bench, supervisor, 1500)
    wait_until(lambda: told(bench, supervisor), "it does not answer")
    # What is told counts for seconds: gone, it has not been told again.
    wait_until(lambda: not told(bench, supervisor), "it goes on for ever")
    look(bench, supervisor, 1500)
    wait_until(lambda: told(bench, supervisor), "it does not answer again")


def test_an_order_to_tell_for_no_time_is_passed_over(bench: Bench) -> None:
    running: Supervisor = bench.start(workers=1)
    (supervisor,) = bench.store.registrations()
    for nonsense in ("nan", "-1", "inf", "", "x"):
        look(bench, supervisor, nonsense)
        running.wait_for("is passed over")
    assert told(bench, supervisor) is None
    assert running.stop() == 0


def test_after_changed_code_is_taken_up_it_tells_of_the_new_workers(bench: Bench) -> None:
    running = bench.start(workers=1)
    (old,) = told_when(bench, lambda worker: worker.state == "idle", "it does not answer").workers
    running.signal(signal.SIGHUP)
    running.wait_for("the changed code is at work")
    told_when(bench, lambda worker: worker.worker != old.worker and worker.state == "idle", "the new one is not there")
    assert running.stop() == 0
