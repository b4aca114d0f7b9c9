"""Jobs that handlers add: at once, or in the step in which their parent completes."""

from __future__ import annotations

import contextlib
import os
import signal

import pytest
from pool.running import LONG, Bench, wait_until

from tempotask import InvalidOptions, JobFailed, JobNotFound

APP = "family:tempotask"


def run(bench: Bench, name: str, how: str, **options: object) -> tuple[str, list[str]]:
    """Runs a parent to its end; its id and those of its children, as its last try told them."""
    handle = bench.manager.enqueue(name=name, queue="q", data=how, options=options)
    with contextlib.suppress(JobFailed):
        handle.result(timeout=LONG)
    while True:
        _, id, *children = bench.hear()
        assert id == handle.id
        if bench.hear_no_more():
            return handle.id, children


def status(bench: Bench, id: str) -> str:
    try:
        return bench.manager.handle(id).status()
    except JobNotFound:
        return "unknown"


def test_a_child_with_on_success_comes_with_its_parents_completion(bench: Bench) -> None:
    bench.start(app=APP, workers=1)
    id, (now, later) = run(bench, "parent", "completes")
    for child in (now, later):
        assert bench.manager.handle(child).result(timeout=LONG) == id
        assert bench.manager.handle(child).info().parent == id
    assert bench.manager.handle(id).info().children == [now, later]


@pytest.mark.parametrize("how", ["fails", "returns what can't be sent", "dies"])
def test_a_child_with_on_success_never_exists_if_its_parent_fails(bench: Bench, how: str) -> None:
    bench.start(app=APP, workers=1)
    id, (now, later) = run(bench, "parent", how, max_crashes=1)
    assert bench.manager.handle(id).status() == "failed"
    assert bench.manager.handle(now).result(timeout=LONG) == id
    assert status(bench, later) == "unknown"
    if how != "dies":  # a process that dies tells nothing more
        assert bench.manager.handle(id).info().children == [now]


@pytest.mark.parametrize("end", ["cancel", "crash", "time"])
def test_what_a_job_has_added_is_known_while_it_runs_and_when_it_is_cut_off(bench: Bench, end: str) -> None:
    bench.start(app=APP, workers=1)
    options = {"max_crashes": 2, "attempts": 2, "timeout": 1} if end == "time" else {"max_crashes": 2}
    handle = bench.manager.enqueue(name="parent", queue="q", data="waits", options=options)
    added = []
    for _ in range(1 if end == "cancel" else 2):
        _, _, now, _ = bench.hear()
        added.append(now)
        wait_until(lambda: handle.info().children == added, "its child is not told")
        if end == "cancel":
            assert handle.cancel()
        elif end == "crash":
            bench.supervisors[0].workers()[0].kill()
    assert bench.manager.handle(added[0]).result(timeout=LONG) == handle.id
    wait_until(lambda: handle.status() in ("cancelled", "failed"), "it does not end")
    assert handle.info().children == added


@pytest.mark.parametrize("on_success", [True, False])
def test_of_two_children_of_one_id_only_the_first_is_added_and_shown(bench: Bench, on_success: bool) -> None:
    bench.start(app=APP, workers=1)
    handle = bench.manager.enqueue(name="twice", queue="q", data=on_success)
    assert handle.result(timeout=LONG) == [True, False]
    assert handle.info().children == [f"{handle.id}.child"]
    (child,) = bench.manager.get_jobs(name="child")
    assert (child.data, child.parent) == (0, handle.id)


def test_only_the_try_that_completes_has_children_with_on_success(bench: Bench) -> None:
    bench.start(app=APP, workers=1)
    handle = bench.manager.enqueue(name="parent", queue="q", data="tries again")
    assert handle.result(timeout=LONG) == "done"
    (_, _, first_now, first_later), (_, _, now, later) = bench.hear(), bench.hear()
    bench.manager.handle(later).result(timeout=LONG)
    assert status(bench, first_later) == "unknown"
    assert handle.info().children == [first_now, now, later]


def test_a_result_that_is_refused_brings_no_children(bench: Bench) -> None:
    """The worker is taken for dead while it runs: what it sends afterwards counts for nothing."""
    bench.start(workers=1, app="gated:tempotask")
    handle = bench.manager.enqueue(name="parent", queue="q")
    _, _, later, _ = bench.hear()
    (worker,) = bench.store.read("HGETALL", "workers")
    bench.store.give_back_all(worker.decode())
    bench.open_gate()
    _, _, again, _ = bench.hear()
    bench.open_gate()
    assert handle.result(timeout=LONG) == "done"
    assert bench.manager.handle(again).result(timeout=LONG) == handle.id
    assert status(bench, later) == "unknown"
    assert handle.info().children == [again]


def test_a_job_whose_worker_was_killed_has_the_children_of_the_try_that_completed(bench: Bench) -> None:
    bench.start(workers=1, app="gated:tempotask")
    handle = bench.manager.enqueue(name="parent", queue="q")
    _, _, later, pid = bench.hear()
    os.kill(int(pid), signal.SIGKILL)
    _, _, again, _ = bench.hear()
    bench.open_gate()
    assert handle.result(timeout=LONG) == "done"
    assert bench.manager.handle(again).result(timeout=LONG) == handle.id
    assert status(bench, later) == "unknown"
    assert handle.info().children == [again]


@pytest.mark.parametrize("how", ["completes", "fails"])
def test_children_of_coroutines_are_their_jobs_own(bench: Bench, how: str) -> None:
    bench.start(app=APP, workers=1)
    id, children = run(bench, "aparent", how)
    assert len(set(children)) == 30
    if how == "completes":
        for child in children:
            assert bench.manager.handle(child).result(timeout=LONG) == id
        assert sorted(bench.manager.handle(id).info().children) == sorted(children)
    else:
        assert {status(bench, child) for child in children} == {"unknown"}
        assert bench.manager.handle(id).info().children == []


def test_children_with_on_success_may_have_all_options_of_a_call(bench: Bench) -> None:
    bench.start(app=APP, workers=1)
    parent = bench.manager.enqueue(name="of_all_kinds", queue="q", data="mine")
    given, large, urgent, delayed, *copies = parent.result(timeout=LONG)
    assert [given, *copies] == ["mine", "mine2:c", "mine2:d"]
    for child in (given, large, urgent, *copies):
        assert bench.manager.handle(child).result(timeout=LONG) == parent.id
    assert bench.manager.handle(urgent).info().priority == 5
    assert status(bench, delayed) == "delayed"


def test_a_child_whose_id_is_in_use_adds_nothing(bench: Bench) -> None:
    first = bench.manager.enqueue(name="child", queue="nowhere", options={"id": "mine", "delay": 600})
    bench.start(app=APP, workers=1)
    bench.manager.enqueue(name="of_all_kinds", queue="q", data="mine").result(timeout=LONG)
    assert first.info().queue == "nowhere"
    assert first.status() == "delayed"


def test_a_thousand_children_can_depend_on_a_job_and_no_more(bench: Bench) -> None:
    bench.start(app=APP, workers=1)
    parent = bench.manager.enqueue(name="many", queue="q", data=1000)
    assert parent.result(timeout=LONG) == 1000
    wait_until(lambda: int(bench.store.read("HGET", "counts:c", "completed") or 0) == 1000, "children are missing")
    assert len(parent.info().children) == 1000
    with pytest.raises(JobFailed, match="1,000 children"):
        bench.manager.enqueue(name="many", queue="q", data=1001).result(timeout=LONG)
    assert int(bench.store.read("HGET", "counts:c", "completed")) == 1000


def test_what_is_wrong_with_a_child_is_said_when_it_is_asked_for(bench: Bench) -> None:
    bench.start(app=APP, workers=1)
    parent = bench.manager.enqueue(name="wrong", queue="q")
    assert parent.result(timeout=LONG) == ["InvalidName", "InvalidPayload", "InvalidOptions", "InvalidOptions"]
    assert parent.info().children == []


def test_outside_of_a_job_nothing_can_wait_for_its_success(bench: Bench) -> None:
    context = bench.manager.context()
    with pytest.raises(InvalidOptions, match="success of a running job"):
        context.enqueue(name="child", queue="c", on_success=True)
    assert context.enqueue(name="child", queue="c").info().parent is None
