"""Calls of all scripts, as the clients make them, each with what the namespace held before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
from store.filled import fill
from store.play import (
    act,
    addition,
    completed,
    crashed,
    enqueue,
    failed,
    hire,
    new_job,
    results_of,
    revise,
    revision,
    settlement,
    tried_again,
    turn,
)

from tempotask.repeat import Repeat
from tempotask.store import look, schedules
from tempotask.store.acting import Acting
from tempotask.store.lists import Filter
from tempotask.store.schedules import Schedule
from tempotask.store.script import Argument
from tempotask.store.store import Store
from tempotask.store.wire import Wire

Held = dict[bytes, bytes]
"""All keys of a namespace and what is under them, as DUMP gives it."""


def held(store: Store) -> Held:
    """What the namespace holds now."""
    client = store.server.client()
    keys = sorted(client.scan_iter(f"{store.prefix}*", count=10_000))
    with client.pipeline(transaction=False) as pipeline:
        for key in keys:
            pipeline.dump(key)
        return {key: dump for key, dump in zip(keys, pipeline.execute(), strict=True) if dump}


def put(store: Store, before: Held, now: Held | None = None) -> None:
    """Makes the namespace hold that again; `now`: what it holds, where that is known."""
    now = held(store) if now is None else now
    with store.server.client().pipeline(transaction=False) as pipeline:
        for key in now.keys() - before.keys():
            pipeline.unlink(key)
        for key, dump in before.items():
            if now.get(key) != dump:
                pipeline.restore(key, 0, dump, replace=True)
        pipeline.execute()


class Call(NamedTuple):
    """A script, its arguments, and what the namespace held when it was called."""

    script: str
    arguments: tuple[Argument, ...]
    before: Held

    def __repr__(self) -> str:
        return f"{self.script}{self.arguments!r:.200}"


def recorded(store: Store) -> list[Call]:
    """Calls of every script, and of every kind of those that do several things."""
    calls: list[Call] = []
    with _listening(store, calls):
        _play(store)
    return calls


@contextmanager
def _listening(store: Store, calls: list[Call]) -> Iterator[None]:
    run = Wire.run

    def heard(wire: Wire, name: str, *arguments: Argument) -> Any:
        calls.append(Call(name, arguments, held(store)))
        return run(wire, name, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Wire, "run", heard)
        yield


def _play(store: Store) -> None:
    fill(store)
    _run(store)
    _hand_over(store)
    _look(store)
    _act(store)
    _fire(store)
    _end(store)


def _run(store: Store) -> None:
    """A job of every kind of ending, with events, lines, a child, and a payload outside."""
    store.enqueue(store.new_call(), [new_job("big", "new", payload="x" * 5000, given_id=True)])
    enqueue(store, *(f"0000000000again-{n}" for n in range(40)), queue="new")
    batch = turn(store, "w2", 1, 100, told=True).batch
    assert batch is not None
    records, last = batch.records, len(batch.records) - 1
    assert last >= 6
    child = addition(store.new_call(), [new_job("child", "new", given_id=True), new_job(f"{store.new_call()}-0")])
    endings = (completed(records[0], "done", child=child), tried_again(records[1], 50), tried_again(records[2]))
    told = results_of(batch, 0, 4)._replace(endings=(*endings, failed(records[3])))
    store.run("say", "w2", batch.turn, 4, records[4].id, b"started", b"progress", b"told", b"line", b"line")
    turn(store, "w2", 2, 0, told, told=True)
    store.give_back_tail("w2", batch.turn, last)
    verdict = settlement([failed(records[5])], events=True)
    store.give_back_all("w2", batch.turn, (4, 5), [crashed(batch, 4)], verdict)


def _hand_over(store: Store) -> None:
    """One who goes idle, and is handed something."""
    hire(store, "w3", supervisor="s2", lease=0)
    number = 1
    while (reply := turn(store, "w3", number, 1000)).kind != "idle":
        number += 1
        if reply.batch is not None:
            turn(store, "w3", number, 0, results_of(reply.batch), told=True)
            number += 1
    enqueue(store, "0000000000handed-0")
    act(store, "cancel", "claims", "w3")


def _look(store: Store) -> None:
    store.quiet()
    look.find(store, "late")
    store.ask("client", ["fails", "nobody"])
    store.unwait("client", ["nobody"])
    store.run("forget", "fails", "nobody")
    store.run("snapshot", "all", 100_000, 1_000_000)
    store.run("snapshot", "part", "queue:0:other", "0", 10)
    store.run("snapshot", "sizes", "ring", "due")
    store.run("snapshot", "ring", "q")
    store.run("overview", 5, "q", "", "other", "")


def _act(store: Store) -> None:
    acting = Acting(store, 200)
    for id in ("late", "given-3", "parked-0"):
        acting.toggle(id)
    acting.cancel_all(Filter("other", "delayed"))
    acting.retry_all(Filter("large"))
    page = store.read("LRANGE", "history:q:failed", 0, 0)
    if page:
        revise(store, revision("q", "failed", page[0], 0, again=False, forget=True))
    acting.cancel_begun_with("again-", "new")
    acting.delete_all(Filter("low"))
    store.pause_queue("other")
    store.resume_queue("other")


def _fire(store: Store) -> None:
    schedules.declare(store, Schedule("declared", "other", "n", Repeat(every=0.01)))
    schedules.add(store, Schedule("added", "other", "n", Repeat(every=0.01)))
    now, due = schedules.due(store)
    while not due:
        now, due = schedules.due(store)
    for planned in due:
        schedules.fire(store, planned, now, now + 1000, "skip")
    schedules.look_later(store, due[0], 1)
    schedules.remove(store, "daily")


def _end(store: Store) -> None:
    """Hosts that renew, sweep and leave, and what is mended."""
    store.renew("s", 3600, tidy=True)
    store.run("sweep", "s", 3600_000, "s2", store.read("HGET", "leases", "s2"), "")
    store.give_back_all("w3")
    store.sweep("s", 3600, "s2", "swept")
    for what in (("ring", "q"), ("count", "other", "delayed"), ("kept", "q", "failed"), ("totals",)):
        store.run("mend", *what)
    store.leave("s2")
