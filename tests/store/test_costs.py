"""What a call costs the server does not grow with what it has nothing to do with. Counted in commands, also those of
scripts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import pytest
import redis
from play import enqueue, hire, new_job, turn
from store.by_hand import Hand, done

from tempotask import QueueManager
from tempotask.store import look
from tempotask.store.store import Store

BESIDES = 20
"""Commands that may come besides: connections that are opened, scripts that are loaded."""


class Count(Protocol):
    def __call__(self, call: Callable[[], object], only: str = "") -> int: ...


@pytest.fixture
def commands(admin_url: str) -> Iterator[Count]:
    """How many commands the server carries out for a call."""
    with redis.Redis.from_url(admin_url) as admin:

        def count(call: Callable[[], object], only: str = "") -> int:
            admin.config_resetstat()
            call()
            stats: Any = admin.info("commandstats")
            return sum(stat["calls"] for name, stat in stats.items() if name.startswith(f"cmdstat_{only}"))

        yield count


def add_priorities(store: Store, number: int) -> None:
    store.enqueue(store.new_call(), [new_job(f"p{level}", priority=level) for level in range(1, number + 1)])


def test_adding_a_job_costs_the_same_however_many_priorities_its_queue_uses(store: Store, commands: Count) -> None:
    add_priorities(store, 3)
    few = commands(lambda: enqueue(store, "a", priority=2))
    add_priorities(store, 300)
    assert commands(lambda: enqueue(store, "b", priority=2)) < few + BESIDES


def test_claiming_a_job_costs_the_same_however_many_priorities_its_queue_uses(store: Store, commands: Count) -> None:
    hire(store, "w1", "w2")
    add_priorities(store, 30)
    few = commands(lambda: turn(store, "w1", 1, 1))
    add_priorities(store, 300)
    assert commands(lambda: turn(store, "w2", 1, 1)) < few + BESIDES


def test_a_delayed_job_that_falls_due_costs_the_same_however_many_priorities_its_queue_uses(
    store: Store, commands: Count
) -> None:
    def fall_due(number: int) -> int:
        enqueue(store, f"late-{number}", due=store.now() - 1, priority=number)
        return commands(lambda: turn(store, f"w{number}", 1, 1))

    hire(store, "w1", "w2")
    add_priorities(store, 30)
    few = fall_due(1)
    add_priorities(store, 300)
    assert fall_due(2) < few + BESIDES


def test_a_handle_looks_for_its_job_in_its_own_queue_alone(manager: QueueManager[Any], commands: Count) -> None:
    _, first, second, _ = (manager.enqueue(name="n", queue="q") for _ in range(4))
    few, few_to_cancel = commands(first.status), commands(first.cancel)
    for number in range(50):
        manager.enqueue(name="n", queue=f"other-{number}")
    assert commands(second.status) < few + BESIDES
    assert commands(second.cancel) < few_to_cancel + BESIDES


def test_a_job_that_has_ended_is_found_at_the_same_cost_however_many_wait(
    manager: QueueManager[Any], hand: Hand, store: Store, commands: Count
) -> None:
    handle = manager.enqueue(name="n", queue="q")
    hand.finish(1, done)
    assert handle.status() == "completed"
    # History does not keep it.
    store.server.client().delete(f"{store.prefix}history:q:completed")
    few, few_for_all = commands(handle.status), commands(handle.info)
    manager.enqueue_many({"name": "n", "queue": "q"} for _ in range(30_000))
    assert (commands(handle.status), commands(handle.info)) == (few, few_for_all)


def test_short_queues_are_looked_through_together(store: Store, commands: Count) -> None:
    def look_for_one() -> None:
        assert look.find(store, "nobody") is None

    store.enqueue(store.new_call(), [new_job(f"j{number}", f"q{number}") for number in range(10)])
    few = commands(look_for_one, only="evalsha")
    store.enqueue(store.new_call(), [new_job(f"i{number}", f"r{number}") for number in range(300)])
    assert commands(look_for_one, only="evalsha") < few + BESIDES
