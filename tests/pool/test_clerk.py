"""The supervisor's talk with the server, at the end of its life."""

from __future__ import annotations

import select
import threading
from collections.abc import Iterator

import pytest
from pool.running import LONG, wait_until

from tempotask.pool import clerk
from tempotask.pool.clerk import Clerk
from tempotask.store.connect import Server
from tempotask.store.store import Store


@pytest.fixture(autouse=True)
def _no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clerk, "SILENCE", 0.0)


@pytest.fixture
def asking(store: Store) -> Iterator[Clerk]:
    made = Clerk(store)
    made.start()
    yield made
    made.end(LONG)


def test_a_server_that_is_only_slow_is_waited_for(asking: Clerk) -> None:
    begun, answers = threading.Event(), threading.Event()

    def answer() -> None:
        begun.set()
        assert answers.wait(LONG)

    asking.ask(answer)
    assert begun.wait(LONG)
    assert not asking.in_vain
    answers.set()


def test_a_server_that_can_not_be_used_is_not_waited_for(short_path: object) -> None:
    nowhere = Store(Server(f"unix://{short_path}/none.sock", connect_timeout=LONG), "none")
    asking = Clerk(nowhere)
    asking.start()
    assert not asking.in_vain, "nothing was asked"
    asking.ask(lambda: nowhere.server.patiently(lambda: nowhere.server.client().ping()))
    wait_until(lambda: asking.in_vain, "it is waited for")
    asking.end(LONG)
    nowhere.close()


def test_a_server_that_is_back_is_waited_for_again(asking: Clerk, store: Store) -> None:
    failures = iter([True, False])
    answered, begun, answers = threading.Event(), threading.Event(), threading.Event()

    def fail_once() -> None:
        if next(failures):
            store.server.client().execute_command("NONSENSE")

    def answer() -> None:
        begun.set()
        assert answers.wait(LONG)

    asking.ask(fail_once, lambda _: answered.set())
    asking.ask(answer)
    assert begun.wait(LONG)
    assert not asking.in_vain
    answers.set()


def test_an_error_that_nobody_foresaw_comes_out_in_the_loop(asking: Clerk) -> None:
    asking.ask(lambda: [][0])
    assert select.select([asking], [], [], LONG)[0]
    with pytest.raises(IndexError):
        asking.deliver()
