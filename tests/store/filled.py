"""A namespace that has something of everything."""

from __future__ import annotations

from store.play import act, enqueue, failed, hire, new_job, results_of, tried_again, turn

from tempotask.repeat import Repeat
from tempotask.store import schedules
from tempotask.store.addition import NewJob
from tempotask.store.schedules import Schedule
from tempotask.store.store import Store

LARGE = "x" * 5000


def fill(store: Store) -> None:
    """A namespace that has something of everything."""
    hire(store, "w1")
    hire(store, "w2")
    added: list[NewJob] = [
        *(new_job(f"0000000000plain-{n}") for n in range(6)),
        *(new_job(f"given-{n}", "other", given_id=True) for n in range(6)),
        new_job("high", "other", priority=7, given_id=True),
        new_job("low", "low", priority=-7, given_id=True),
        new_job("fails", "large", payload=LARGE, given_id=True),
        new_job("late", "other", due=store.now() + 1000, given_id=True),
    ]
    assert all(store.enqueue(store.new_call(), added))
    first = turn(store, "w1", 1, 3).batch
    assert first is not None
    second = turn(store, "w1", 2, 100, results_of(first, how=lambda record: tried_again(record, 60_000))).batch
    assert second is not None
    third = turn(store, "w1", 3, 2, results_of(second, how=failed)).batch
    assert third is not None
    fourth = turn(store, "w1", 4, 100, results_of(third)).batch
    assert fourth is not None
    again = new_job("again", "large", payload=LARGE, given_id=True)
    store.enqueue(store.new_call(), [again, new_job("urgent", "other", priority=7, given_id=True)])
    store.ask("client", ["late", "given-5"])
    parked = [
        *(new_job(f"parked-{n}", "other", given_id=True) for n in range(3)),
        new_job("parked-late", "other", due=store.now() + 1000, given_id=True),
    ]
    store.enqueue(store.new_call(), parked)
    for id in ("parked-0", "parked-1"):
        assert act(store, "pause", "list", "queue:0:other", 0, 100, id=id)[0] == 1
    assert act(store, "pause", "set", "due", 0, 100, id="parked-late")[0] == 1
    assert store.pause_queue("paused")
    enqueue(store, "stays", queue="paused", given_id=True)
    store.server.client().hset(f"{store.prefix}live", "late", "1told")
    store.run("listen", "me", 60_000)
    assert schedules.add(store, Schedule("daily", "other", "n", Repeat("0 0 * * *")))
