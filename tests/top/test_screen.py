"""What is on the screen of `tempotask top`, of real workers, and what its keys do."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest
from pool.running import Bench, wait_until
from top.glass import Terminal

Open = Callable[..., Terminal]


def fail_one(bench: Bench) -> str:
    """Has a job of `q` fail; its id."""
    handle = bench.manager.enqueue(name="flaky", queue="q", data=9)
    wait_until(lambda: handle.status() == "failed", "it does not fail")
    bench.hear()
    return handle.id


def test_queues_and_what_each_worker_runs_and_failures_are_on_it(bench: Bench, opened: Open) -> None:
    bench.start(workers=2)
    failed = fail_one(bench)
    held = bench.manager.enqueue(name="hold", queue="q")
    _, _, pid = bench.hear()
    bench.manager.pause_queue("later")
    bench.manager.enqueue_many({"name": "echo", "queue": "later", "data": n} for n in range(1234))
    terminal = opened()
    text = terminal.wait_for(f"q/hold {held.id}", f"q/flaky {failed}", "1,234", "2 workers, 1 busy", "MiB")
    lines = text.splitlines()
    queue = next(line for line in lines if line.startswith("later")).split()
    assert (queue[1], queue[-1]) == ("1,234", "paused")
    worker = next(line for line in lines if held.id in line).split()
    assert (worker[2], worker[3]) == (pid, "busy")
    assert "1/1" in worker
    assert "ValueError: attempt 1" in next(line for line in lines if failed in line)
    running = lines[0 + 1].split().index("running")
    assert next(line for line in lines if line.startswith("q ")).split()[running] == "1"
    bench.open_gate()


def test_what_happens_comes_on_it_by_itself(bench: Bench, opened: Open) -> None:
    terminal = opened()
    terminal.wait_for("no queue has had a job yet", "no supervisor works here")
    bench.start(workers=1)
    held = bench.manager.enqueue(name="hold", queue="q")
    terminal.wait_for(f"q/hold {held.id}", "1 worker, 1 busy", without=["no supervisor"])
    bench.open_gate()
    terminal.wait_for("idle", without=[held.id])
    terminal.wait_for(fail_one(bench))


def test_a_queue_is_paused_and_resumed_by_a_key(bench: Bench, opened: Open) -> None:
    bench.manager.enqueue(name="echo", queue="other")
    bench.manager.enqueue(name="echo", queue="q")
    terminal = opened()
    terminal.wait_for("other", "q ")
    terminal.type("jp")
    terminal.wait_for("queue q is paused")
    assert bench.store.read("SMEMBERS", "paused") == {b"q"}
    terminal.wait_until(lambda text: "paused" in line_of(text, "q "), "paused queue")
    terminal.type("p")
    terminal.wait_for("queue q is resumed")
    assert not bench.store.read("SMEMBERS", "paused")
    terminal.type("\x1b[Ap")
    terminal.wait_for("queue other is paused")
    assert bench.store.read("SMEMBERS", "paused") == {b"other"}


def line_of(text: str, first: str) -> str:
    """The line that begins so; empty if none does."""
    return next((line for line in text.splitlines() if line.startswith(first)), "")


def test_cancelling_what_a_worker_runs_asks_once(bench: Bench, opened: Open) -> None:
    bench.start(workers=1)
    held = bench.manager.enqueue(name="hold", queue="q")
    bench.hear()
    terminal = opened()
    terminal.wait_for(held.id)
    terminal.type("\tc")
    terminal.wait_for(f"cancel it (y/n)? job {held.id} (q/hold)")
    terminal.type("x")
    terminal.wait_for("nothing is cancelled", without=["(y/n)"])
    assert held.status() == "processing"
    terminal.type("cy")
    terminal.wait_for(f"job {held.id} is cancelled")
    wait_until(lambda: held.status() == "cancelled", "it is not cancelled")


def test_a_failed_job_is_tried_again_by_a_key_and_is_no_failure_any_more(bench: Bench, opened: Open) -> None:
    bench.start(workers=1)
    failed = bench.manager.enqueue(name="nobody-declares-it", queue="other")
    wait_until(lambda: failed.status() == "failed", "it does not fail")
    bench.manager.pause_queue("other")
    terminal = opened()
    terminal.wait_for(failed.id, "UnknownTask", "idle")
    terminal.type("\t\tr")
    terminal.wait_for(f"job {failed.id} waits again", without=["UnknownTask"])
    assert failed.status() == "waiting"


def test_a_key_that_fits_no_line_says_which_it_is_for(bench: Bench, opened: Open) -> None:
    bench.start(workers=1)
    bench.manager.enqueue(name="echo", queue="q").result(60)
    terminal = opened()
    terminal.wait_for("idle")
    for key, said in (("c", "c cancels the job"), ("r", "r has a failed job"), ("\tp", "p pauses or resumes a queue")):
        terminal.type(key)
        terminal.wait_for(said)
    terminal.type("c")
    terminal.wait_for("select a worker that runs one")


def fill(bench: Bench, queues: int) -> None:
    """In so many queues a job waits."""
    for number in range(queues):
        bench.manager.pause_queue(f"queue-{number:02}")
        bench.manager.enqueue(name="echo", queue=f"queue-{number:02}")


@pytest.mark.parametrize("size", [(200, 60), (80, 24), (60, 12), (40, 8), (20, 5), (9, 3), (3, 2), (1, 1)])
def test_it_fits_a_terminal_of_any_size(bench: Bench, opened: Open, size: tuple[int, int]) -> None:
    bench.start(workers=3)
    fail_one(bench)
    fill(bench, 20)
    terminal = opened(*size)
    terminal.wait_until(lambda text: text.strip(), "text")
    # Through all lines and all tables.
    terminal.type("j" * 30 + "\t\t\t" + "k" * 30)
    if size[0] >= 40:
        terminal.wait_for("queue", "q  quit")
    if size[1] >= 24:
        terminal.wait_for("queue-00", "idle", "ValueError", "r  retry")
    terminal.type("q")
    assert terminal.end() == 0
    assert not terminal.glass.unknown


def test_it_follows_when_the_terminal_changes_its_size(bench: Bench, opened: Open) -> None:
    bench.start(workers=2)
    fill(bench, 40)
    terminal = opened(100, 60)
    terminal.wait_for("queue-39", "idle", "quit", "completed")
    terminal.resize(50, 15)
    terminal.wait_for("of 40", "quit", without=["queue-39", "completed"])
    terminal.type("\tk")
    terminal.wait_for("queue-39")
    terminal.resize(120, 60)
    terminal.wait_for("queue-00", "queue-39", "completed", "quit")
    assert not terminal.glass.unknown


def test_of_a_supervisor_that_stands_still_it_says_so(bench: Bench, opened: Open) -> None:
    quick, slow = (bench.start(workers=1) for _ in range(2))
    terminal = opened()
    terminal.wait_for("2 workers")
    slow.signal(signal.SIGSTOP)
    terminal.wait_for("1 worker,", "no answer from 1 of 2 supervisors")
    slow.signal(signal.SIGCONT)
    terminal.wait_for("2 workers", without=["no answer"])
    assert quick.stop() == slow.stop() == 0
