"""How each script comes to be called: by the code that calls it anywhere else, in this process or in the supervisors.

Each function here makes one script be called some times, and puts down in the book what must come of it.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
from pool.running import wait_until

from tempotask import JobHandle, Repeat
from tempotask.machine import boot_id
from tempotask.mapping.flow import Flow
from tempotask.pool import firing
from tempotask.pool.leases import register as register_supervisor
from tempotask.store import overview as standings
from tempotask.store.check import check
from tempotask.store.connect import Server
from tempotask.store.records import Registration
from tempotask.store.repair import repair
from tempotask.store.snapshot import MOST, take
from tempotask.store.store import Store
from tempotask.store.turns import Turns
from tempotask.store.wire import Lost
from torture.chatty import LINES
from torture.chore import MAX_CRASHES, Chore
from torture.chores import QUEUES
from torture.world import World

LEASE = 60.0


class Book:
    """What must come of the calls."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.store = Store(Server(world.proxy.url), world.namespace)
        """Through the proxy, as all that is called here."""
        self.ends: Counter[str] = Counter()
        """How often each job is to end, by id."""
        self.wrong: list[str] = []
        """Answers that were not right."""
        self.schedules: dict[str, int] = {}
        """How often each schedule fired, as it says itself."""
        self._marks = 0

    def chore(self, seconds: float = 0.0) -> Chore:
        self._marks += 1
        return Chore(f"m{self._marks}", seconds)

    def add(self, number: int, seconds: float = 0.0, name: str = "short", **options: Any) -> list[JobHandle[str]]:
        """Jobs that are to end once."""
        queues = self.world.random.choices(QUEUES if name == "short" else "a", k=number)
        handles = self.world.manager.enqueue_many(
            {"name": name, "queue": queue, "data": self.chore(seconds), "options": options} for queue in queues
        )
        self.ends.update(handle.id for handle in handles)
        return list(handles)

    def right(self, answer: object, wanted: object, what: str) -> None:
        """Puts down an answer that is not the one that was wanted."""
        if answer != wanted:
            self.wrong.append(f"{what}: {answer!r}, not {wanted!r}")

    def close(self) -> None:
        self.store.close()


class Host:
    """A supervisor without processes, and its workers: each takes jobs, and runs none."""

    def __init__(self, book: Book, workers: int, gone: int | None = None) -> None:
        """`gone`: the number of a process that has ended, and whose supervisor this was; else it is this process."""
        self._store = book.store
        self.id = secrets.token_hex(5)
        if gone is None:
            register_supervisor(self._store, self.id, LEASE, [], workers, [], "")
        else:
            told = Registration(socket.gethostname(), boot_id(), gone, 0.0, [], workers, born_ns=1)
            self._store.register(self.id, LEASE, msgspec.msgpack.encode(told))
        self.workers = [f"{self.id}.{number}" for number in range(workers)]
        book.right(self._store.register(self.id, LEASE, workers=self.workers), True, "register")

    def claim(self) -> None:
        for worker in self.workers:
            turns = Turns(self._store, worker)
            while True:
                with contextlib.suppress(Lost):
                    turns.take(2)
                    break

    def leave(self, book: Book) -> None:
        """As a supervisor does that is stopped."""
        for worker in self.workers:
            self._store.give_back_all(worker)
        book.right(self._store.leave(self.id), 0, "leave")


def enqueue(book: Book) -> None:
    """One by one, several at once, under ids of their own; each is new."""
    manager = book.world.manager
    for number in range(10):
        own = {"id": f"own-{book.chore().mark}"} if number % 3 == 0 else {}
        handle = manager.enqueue(name="short", queue="a", data=book.chore(), options={"delay": 0.01, **own})
        copies = manager.publish(name="short", queues=QUEUES, data=book.chore(), options=own or None)
        for each in (handle, *copies):
            book.right(each.created, True, f"created {each.id}")
            book.ends[each.id] += 1
    book.add(20)


def turn(book: Book) -> None:
    book.add(300)
    _wait_for_few(book)


def give_back(book: Book) -> None:
    """Jobs behind long ones, which are stolen back; and workers that end with jobs in hand."""
    book.add(60)
    book.add(2, seconds=0.12)
    host = Host(book, 12)
    host.claim()
    host.leave(book)
    _wait_for_few(book)


def register(book: Book) -> None:
    for _ in range(5):
        Host(book, 1).leave(book)


def sweep(book: Book) -> None:
    """Hosts that are lost with jobs in hand; the supervisors see that their processes are gone."""
    gone = subprocess.Popen([sys.executable, "-S", "-c", ""])
    gone.wait()
    book.add(60)
    # No more than a job may be on: at twice its `max_crashes` of lost hosts it fails.
    lost = [Host(book, 1, gone.pid) for _ in range(2 * MAX_CRASHES - 1)]
    for host in lost:
        host.claim()
    left = {host.id.encode() for host in lost}
    read = book.world.store.read
    wait_until(lambda: left.isdisjoint(read("HGETALL", "leases")), "lost hosts are not swept")
    wait_until(book.world.store.quiet, "what they held does not run")


def renew(book: Book) -> None:
    """While jobs become due, which renewing promotes."""
    book.add(20, delay=0.02)
    host = Host(book, 0)
    for _ in range(20):
        book.right(book.store.renew(host.id, LEASE, tidy=True) is not None, True, "renew")
    host.leave(book)


def ask(book: Book) -> None:
    handles = book.add(50)
    for handle in handles[:25]:
        book.right(handle.result(timeout=60).split("/")[0], handle.id, f"result of {handle.id}")
    for handle in handles[25:]:
        book.world.manager.handle(handle.id).result(timeout=60)


def unwait(book: Book) -> None:
    for handle in book.add(10, delay=0.1):
        with contextlib.suppress(TimeoutError):
            handle.result(timeout=0)


def forget(book: Book) -> None:
    """What a map has been handed is let go, and nothing but that."""
    kept = book.add(20)
    for _ in range(5):
        inputs = [book.chore() for _ in range(20)]
        for one in Flow(book.world.manager._producer, "a", "short", inputs, in_flight=4).each():
            book.right(one.error, None, f"job {one.id}")
            book.ends[one.id] = 1
    for handle in kept:
        book.right(handle.result(timeout=60).split("/")[0], handle.id, f"result of {handle.id}")


def say(book: Book) -> None:
    """Each line is there once in the end."""
    for handle in [*book.add(4, seconds=0.5, name="chat")]:
        handle.result(timeout=60)
        lines = [line.message for line in handle.logs()]
        book.right(lines, [f"line {number}" for number in range(LINES)], f"logs of {handle.id}")


def listen(book: Book) -> None:
    for _ in range(5):
        book.world.manager.on("failed", lambda event: book.wrong.append(str(event))).close()


def find(book: Book) -> None:
    for handle in book.add(10, delay=0.05):
        info = book.world.manager.get_job_by_id(handle.id)
        book.right(info is not None and info.id, handle.id, "get_job_by_id")


def quiet(book: Book) -> None:
    for _ in range(20):
        book.store.quiet()


def overview(book: Book) -> None:
    marks = dict.fromkeys(QUEUES, "0/0")
    for _ in range(20):
        seen = standings.overview(book.store, QUEUES, marks, 10)
        marks = {queue.name: queue.mark for queue in seen.queues}
        book.right([queue.name for queue in seen.queues], list(QUEUES), "overview")


def snapshot(book: Book) -> None:
    for _ in range(10):
        take(book.store, MOST)
    book.right(check(book.store), [], "check")


def mend(book: Book) -> None:
    """Somebody has made counters wrong."""
    for queue in QUEUES:
        for count in ("delayed", "retries", "parked", "holes"):
            book.world.direct.hincrby(f"{book.store.prefix}counts:{queue}", count, 1)
    repair(book.store)
    book.right(check(book.store), [], "check")


def pause(book: Book) -> None:
    for queue in QUEUES:
        book.right(book.world.manager.pause_queue(queue), True, f"pause_queue {queue}")
        book.right(book.world.manager.resume_queue(queue), True, f"resume_queue {queue}")


def act(book: Book) -> None:
    """Jobs that wait are paused, resumed, cancelled, deleted, each time with success."""
    manager = book.world.manager
    handles = book.add(12, delay=300)
    for number, handle in enumerate(handles):
        book.right(manager.pause_job_by_id(handle.id), True, "pause_job_by_id")
        book.right(manager.resume_job_by_id(handle.id), True, "resume_job_by_id")
        end = manager.cancel_job_by_id if number % 2 else manager.delete_job_by_id
        book.right(end(handle.id), True, end.__name__)
        del book.ends[handle.id]


def revise(book: Book) -> None:
    """Finished jobs run again, once; others are deleted."""
    manager = book.world.manager
    handles = book.add(12)
    for handle in handles:
        handle.result(timeout=60)
    for handle in handles[:6]:
        book.right(manager.retry_job_by_id(handle.id), True, f"retry_job_by_id {handle.id}")
        book.ends[handle.id] += 1
    for handle in handles[6:]:
        book.right(manager.delete_job_by_id(handle.id), True, f"delete_job_by_id {handle.id}")


def schedule(book: Book) -> None:
    """One that never comes to fire."""
    for _ in range(5):
        handle = _scheduled(book, Repeat(every=86400))
        book.right(handle.created, True, f"created {handle.id}")
        book.right(handle.cancel(), True, f"cancel {handle.id}")


def fire(book: Book) -> None:
    """Each firing makes one job, and none is left out."""
    handles = [_scheduled(book, Repeat(every=0.1, overlap=True, limit=5)) for _ in range(20)]
    read = book.world.store.read
    wait_until(lambda: not any(read("HEXISTS", "schedules", handle.id) for handle in handles), "they do not fire")
    book.schedules |= {handle.id: 5 for handle in handles}


def firings(book: Book) -> None:
    """What supervisors do time and again."""
    for _ in range(10):
        firing.fire(book.store)


def rights(book: Book) -> None:
    """What a store asks for first."""
    for _ in range(10):
        store = Store(Server(book.world.proxy.url), book.world.namespace)
        store.quiet()
        store.close()


def _scheduled(book: Book, repeat: Repeat) -> JobHandle[Any]:
    options = {"id": f"tick-{book.chore().mark}", "repeat": repeat}
    return book.world.manager.enqueue(name="tick", queue="b", options=options)


def _wait_for_few(book: Book) -> None:
    """Until little is left to do."""
    world = book.world
    wait_until(lambda: sum(map(_waiting(world), QUEUES)) < 100, "nothing goes on")
    time.sleep(0.01)


def _waiting(world: World) -> Callable[[str], int]:
    return lambda queue: int(world.store.read("LLEN", f"queue:0:{queue}"))


CALLS: dict[str, Callable[[Book], None]] = {
    **{call.__name__: call for call in (enqueue, turn, give_back, sweep, register, renew, ask, unwait, say, listen)},
    **{call.__name__: call for call in (find, quiet, overview, snapshot, mend, pause, act, revise, schedule, fire)},
    **{call.__name__: call for call in (firings, forget, rights)},
    "leave": register,
    "unschedule": schedule,
    "format": rights,
}
"""Of each script, what makes it be called."""
