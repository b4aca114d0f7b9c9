"""What a worker believes of supervisors, its own among them."""

from __future__ import annotations

from tempotask.pool.others import Others
from tempotask.store.connect import Server
from tempotask.store.records import Registration, encode
from tempotask.store.store import Store


def register(store: Store, supervisor: str, *tasks: str) -> None:
    registration = Registration("h", "b", 1, 0.0, [("q", task) for task in tasks], 1)
    store.register(supervisor, 3600, encode(registration))


def test_each_supervisor_may_run_what_it_declares(server_url: str, namespace: str) -> None:
    store = Store(Server(server_url), namespace)
    register(store, "mine", "mine")
    others = Others(store)
    assert others.may_run("q", "mine")
    assert not others.may_run("q", "known")
    register(store, "other", "known")
    assert others.may_run("q", "known")
    assert not others.may_run("elsewhere", "known")
    store.close()


def test_one_whose_registration_can_not_be_read_may_run_anything(server_url: str, namespace: str) -> None:
    store = Store(Server(server_url), namespace)
    store.register("other", 3600, encode(["of another version"]))
    register(store, "third", "known")
    others = Others(store)
    assert others.may_run("q", "known")
    assert others.may_run("q", "unknown")
    store.leave("other")
    assert not others.may_run("q", "unknown")
    store.close()


def test_while_nobody_can_be_asked_a_task_may_be_anybodys(namespace: str) -> None:
    store = Store(Server("redis://127.0.0.1:1", connect_timeout=0.05), namespace)
    assert Others(store).may_run("q", "anything")
    store.close()
