"""The rule of docs/security.md: enough, no more than is used, and whoever has less is told before anything is done."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import redis
import rights
from cli.typed import Ended, Run
from servers import OwnServer

import tempotask
from tempotask import QueueManager, ServerUnavailable

SCRIPTS = Path(tempotask.__file__).parent / "store" / "scripts"
DIRECT = {
    *("evalsha", "script|load", "info", "time", "scan", "multi", "exec", "client|id", "client|unblock"),
    *("blpop", "lpop", "rpush", "pexpire", "smembers", "xread"),
}
"""Commands that no script calls, or that are sent by themselves too."""


class Given(NamedTuple):
    """A server, and a user whose rule may be changed."""

    admin: redis.Redis
    url: str

    def change(self, *words: str) -> None:
        self.admin.execute_command("ACL", "SETUSER", rights.USER, *words)  # type: ignore[no-untyped-call]

    def manager(self, namespace: str) -> QueueManager[object]:
        return QueueManager.init(self.url, namespace=namespace, options={"connect_timeout": 60})


@pytest.fixture
def given(start_server: Callable[..., OwnServer]) -> Iterator[Given]:
    server = start_server(*rights.as_options())
    with redis.Redis.from_url(server.url) as admin:
        yield Given(admin, rights.limited(server.url))


def commands() -> set[str]:
    """The commands that the page allows."""
    return {word[1:] for word in rights.rule() if word.startswith("+")}


def called() -> set[str]:
    """The commands that scripts call."""
    texts = "\n".join(path.read_text() for path in sorted(SCRIPTS.glob("*.lua")) if path.name != "rights.lua")
    # A command is written out where it is called, chosen from two, or in a table of them.
    literal = re.findall(r"""(?:\bcall\(|\bpcall\(|\band |\bor |\w+ = )'([A-Z]{3,})'""", texts)
    pushed = re.findall(r"""\bpush(?:_one)?\('([A-Z]+)'""", texts)
    return {name.lower() for name in [*literal, *pushed]}


def test_the_rule_names_what_the_scripts_and_the_clients_use_and_nothing_else() -> None:
    assert commands() == called() | DIRECT


def test_what_is_asked_about_beforehand_is_what_the_scripts_call() -> None:
    asked = re.findall(r"\{ '([A-Z]+)'", (SCRIPTS / "rights.lua").read_text())
    assert {name.lower() for name in asked} == called()


def test_who_has_lost_a_right_meanwhile_is_told_before_anything_is_changed(given: Given) -> None:
    """As after a failover to a server that has another rule."""
    with given.manager("shop") as manager:
        assert manager.enqueue(name="a", queue="q", data=1).created
        held = {key: given.admin.dump(key) for key in given.admin.scan_iter()}
        given.change("-zadd")
        given.admin.execute_command("CLIENT", "KILL", "USER", rights.USER)
        with pytest.raises(ServerUnavailable, match=r"lacks \+zadd"):
            manager.enqueue(name="a", queue="new", data=1, options={"priority": 3})
        assert {key: given.admin.dump(key) for key in given.admin.scan_iter()} == held


def test_who_lacks_a_right_within_a_script_is_told_which_before_anything_is_changed(given: Given) -> None:
    given.change("-zadd", "-lpos")
    with given.manager("shop") as manager:
        for _ in range(2):
            with pytest.raises(ServerUnavailable) as told:
                manager.enqueue(name="a", queue="q", data=1, options={"priority": 3})
            assert "lacks +lpos +zadd (docs/security.md" in str(told.value)
            assert "\n" not in str(told.value)
        with pytest.raises(ServerUnavailable, match=r"\+lpos \+zadd"):
            manager.enqueue_many([{"name": "a", "queue": "q", "data": 1}] * 3)
        assert given.admin.dbsize() == 0
        given.change("+zadd", "+lpos")
        assert manager.enqueue(name="a", queue="q", data=1, options={"priority": 3}).created


@pytest.mark.parametrize("command", ["evalsha", "script|load", "time"])
def test_who_lacks_a_right_outside_of_scripts_is_told_which(given: Given, command: str) -> None:
    given.change(f"-{command}")
    with given.manager("shop") as manager, pytest.raises(ServerUnavailable) as told:
        manager.enqueue(name="a", queue="q", data=1)
    assert f"lacks +{command} " in str(told.value)


def test_who_may_not_touch_the_namespace_is_told_the_pattern_of_keys(given: Given) -> None:
    given.change("resetkeys", "~{shop}:*")
    with given.manager("shop") as manager:
        assert manager.enqueue(name="a", queue="q", data=1).created
    with given.manager("other") as manager, pytest.raises(ServerUnavailable, match=r"lacks ~\{\S+\}:\*"):
        manager.enqueue(name="a", queue="q", data=1)


def test_a_right_that_is_taken_away_later_is_named_as_well(given: Given) -> None:
    with given.manager("shop") as manager:
        assert manager.enqueue(name="a", queue="q", data=1).created
        given.change("-rpush")
        with pytest.raises(ServerUnavailable, match=r"lacks \+rpush|lacks a command"):
            manager.enqueue(name="a", queue="q", data=1)


@pytest.mark.parametrize("command", ["info", "get", "smembers"])
def test_a_command_that_lacks_a_right_ends_with_one_line(given: Given, bare: Run, command: str) -> None:
    given.change(f"-{command}")
    ended: Ended = bare("queues", "--db", given.url)
    assert (ended.status, ended.out) == (2, "")
    assert f"lacks +{command} " in ended.err or "lacks a command " in ended.err
    assert ended.err.count("\n") == 1
