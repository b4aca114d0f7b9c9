"""Processes that fork while they use a manager: parent and child go on, each with connections of its own."""

from __future__ import annotations

from door.app import tempotask
from door.conftest import Run

BUSY = """
import os, sys, threading
from door.app import echo, left, tempotask

def work(name):
    for n in range(20):
        assert echo.enqueue([name, n]).result(timeout=60) == [name, n]

def ids():
    return [left.enqueue().id for _ in range(20)] + [
        handle.id for handle in tempotask.enqueue_many([{"name": "left", "queue": "nobody"}] * 20)]

def tell(*words):
    os.write(1, (" ".join(words) + "\\n").encode())

class Busy(threading.Thread):
    "Uses the manager all the time."
    stop = False
    def run(self):
        while not self.stop:
            assert echo.enqueue("busy").result(timeout=60) == "busy"

threads = [Busy() for _ in range(3)]
for thread in threads:
    thread.start()
"""

DONE = """
for thread in threads:
    thread.stop = True
    thread.join()
print("done", flush=True)
"""


def test_after_fork_both_go_on_while_other_threads_are_in_the_middle_of_an_enqueue(run: Run) -> None:
    program = """
children = []
for _ in range(20):
    child = os.fork()
    if not child:
        try:
            work("child")
            tell("child", *ids())
            os._exit(0)
        finally:
            os._exit(1)
    children.append(child)
    work("parent")
    tell("parent", *ids())
assert [os.waitpid(child, 0)[1] for child in children] == [0] * 20
"""
    lines = run(BUSY + program + DONE)
    ids = [id for line in lines for id in line[1:]]
    assert len(lines) == 41
    assert len(set(ids)) == len(ids) == 40 * 40
    assert tempotask._client.store.read("ZCARD", "due") == len(ids)


def test_multiprocessing_children_use_it_and_end_well(run: Run) -> None:
    program = """
import multiprocessing
def child(number):
    work(number)
    tell("child", *ids())
fork = multiprocessing.get_context("fork")
children = [fork.Process(target=child, args=(n,)) for n in range(8)]
for one in children:
    one.start()
work("parent")
for one in children:
    one.join(60)
assert [one.exitcode for one in children] == [0] * 8
with fork.Pool(4) as pool:
    pool.map(work, range(8))
"""
    lines = run(BUSY + program + DONE)
    ids = [id for line in lines for id in line[1:]]
    assert len(set(ids)) == len(ids) == 8 * 40


def test_a_handle_made_before_the_fork_is_waited_for_on_both_sides(run: Run) -> None:
    program = """
handles = [echo.enqueue(n) for n in range(50)]
child = os.fork()
assert [handle.result(timeout=60) for handle in handles] == list(range(50))
if not child:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""
    assert run(BUSY + program + DONE) == [["done"]]


def test_many_threads_of_a_child_share_one_door(run: Run) -> None:
    program = """
from concurrent.futures import ThreadPoolExecutor
child = os.fork()
if not child:
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(work, range(16)))
    print("child", flush=True)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""
    assert run(BUSY + program + DONE) == [["child"], ["done"]]


def test_a_child_that_closes_leaves_its_parents_door_open(run: Run) -> None:
    program = """
for _ in range(10):
    child = os.fork()
    if not child:
        work("child")
        tempotask.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    work("parent")
"""
    assert run(BUSY + program + DONE) == [["done"]]


def test_a_child_that_leaves_the_loop_of_its_parent_does_not_take_back_its_waiting(run: Run) -> None:
    program = """
from tempotask import as_completed
handles = [left.enqueue() for _ in range(3)]
handles[0].cancel()
for handle in as_completed(handles, timeout=60):
    if handle is handles[0]:
        child = os.fork()
        if not child:
            sys.exit(0)
        assert os.waitpid(child, 0)[1] == 0
        store = tempotask._client.store
        assert sorted(key.decode() for key in store.read("HKEYS", "waiters")) == sorted(h.id for h in handles[1:])
        handles[1].cancel()
        handles[2].cancel()
"""
    assert run("import os, sys\nfrom door.app import left, tempotask\n" + program + 'print("done", flush=True)') == [
        ["done"]
    ]


def test_a_child_that_closes_a_subscription_leaves_its_parent_listening(run: Run) -> None:
    program = """
import threading
heard, all_heard = [], threading.Event()

def hear(event):
    heard.append(event.id)
    if event.id == "last":
        all_heard.set()

subscription = tempotask.on("waiting", hear, name="echo")
for n in range(10):
    child = os.fork()
    if not child:
        subscription.close()
        assert subscription.closed
        # One of its own can be made and closed all the same.
        tempotask.on("failed", hear).close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    tempotask.enqueue(name="echo", queue="q", options={"id": f"n{n}"})
tempotask.enqueue(name="echo", queue="q", options={"id": "last"})
assert all_heard.wait(60)
assert heard == [*(f"n{n}" for n in range(10)), "last"], heard
subscription.close()
"""
    assert run("import os\nfrom door.app import tempotask\n" + program) == []
