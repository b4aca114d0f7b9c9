"""That no script stops half-way, whatever it is given: the server takes nothing back of what a script has done."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from fuzz.calls import Call, Held, held, put, recorded
from fuzz.hostile import hostile_words, tries
from hypothesis import given
from hypothesis import strategies as st

from tempotask.store.connect import Server
from tempotask.store.script import SCRIPTS, Argument
from tempotask.store.store import Store


@pytest.fixture(scope="module")
def played(admin_url: str) -> Iterator[tuple[Store, list[Call]]]:
    """A namespace, and calls of all scripts that were made in it."""
    store = Store(Server(admin_url, connect_timeout=60), "t-fuzz-scripts")
    put(store, {})
    yield store, recorded(store)
    put(store, {})
    store.close()


def test_every_script_is_tried(played: tuple[Store, list[Call]]) -> None:
    _, calls = played
    assert {call.script for call in calls} == set(SCRIPTS)


@st.composite
def mutated(draw: st.DrawFn, arguments: tuple[Argument, ...]) -> tuple[Argument, ...]:
    """The arguments of a call, some of them others, missing, or more."""
    changed = list(arguments)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(changed)))
        how = draw(st.sampled_from(("other", "other", "other", "missing", "more", "end", "swapped")))
        if how == "end":
            del changed[at:]
        elif how == "more":
            changed.insert(at, draw(hostile_words))
        elif at < len(changed) and how == "missing":
            del changed[at]
        elif at < len(changed) and how == "swapped":
            other = draw(st.integers(0, len(changed) - 1))
            changed[at], changed[other] = changed[other], changed[at]
        elif at < len(changed):
            changed[at] = draw(hostile_words)
    return tuple(changed)


@tries(200)
@given(data=st.data())
def test_a_script_that_refuses_its_arguments_has_changed_nothing(
    played: tuple[Store, list[Call]], data: st.DataObject
) -> None:
    store, calls = played
    call = data.draw(st.sampled_from(calls), label="call")
    arguments = data.draw(mutated(call.arguments), label="arguments")
    put(store, call.before)
    refused = ""
    try:
        store._once(call.script, *arguments)
    except redis.ResponseError as error:
        refused = str(error)
    if refused:
        assert not differences(call.before, held(store)), f"{call.script} stopped half-way: {refused}"


def differences(before: Held, after: Held) -> set[bytes]:
    """The keys that are others."""
    return {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
