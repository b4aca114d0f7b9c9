"""Schedules that are due, were missed or fire, and the jobs that came of it."""

from __future__ import annotations

import itertools
import time
from typing import Any

import msgspec
from play import hire, results_of, turn

from tempotask import Repeat
from tempotask.store import schedules
from tempotask.store.records import Record
from tempotask.store.schedules import Planned
from tempotask.store.store import Store

FAST = Repeat(every=0.01)
NUMBERS = itertools.count(1, 2)
"""Of turns: each is higher than the last."""


def due_now(store: Store, id: str = "s") -> Planned:
    """Waits, on the server's clock, until that schedule is due."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        for planned in schedules.due(store)[1]:
            if planned.id == id:
                return planned
        time.sleep(0.001)
    raise AssertionError("it is never due")


def fire(store: Store, planned: Planned, policy: schedules.Policy = "skip", **rest: Any) -> str:
    assert planned.schedule is not None
    return schedules.fire(store, planned, planned.next, planned.schedule.repeat.after(planned.next), policy, **rest)


def missed(store: Store, milliseconds: int, id: str = "s") -> int:
    """As if nobody had been there for that long: the schedule has been due since then. Returns its next time."""
    planned = schedules.get(store, id)
    assert planned is not None
    assert planned.schedule is not None
    since = planned.schedule.repeat.after(schedules.moment(store) - milliseconds)
    assert since is not None
    client, key = store.server.client(), f"{store.prefix}schedules"
    version, _, rest = client.hget(key, id).split(b" ", 2)  # type: ignore[union-attr]
    client.hset(key, id, b" ".join((version, str(since).encode(), rest)))
    client.zadd(f"{store.prefix}firings", {id: since})
    return since


def records(store: Store, queue: str = "q") -> list[Record]:
    return [msgspec.msgpack.decode(one, type=Record) for one in store.read("LRANGE", f"queue:0:{queue}", 0, -1)]


def finish_all(store: Store) -> list[str]:
    """Runs what waits, as a worker would. Returns the ids."""
    if not store.read("HEXISTS", "workers", "w"):
        hire(store, "w", supervisor="runner")
    number = next(NUMBERS)
    reply = turn(store, "w", number)
    if reply.batch is None:
        return []
    turn(store, "w", number + 1, 0, results_of(reply.batch))
    return reply.ids
