"""What a worker makes of a reply to its turn that is not what it should be: others may write to its descriptors."""

from __future__ import annotations

import pytest

from tempotask.store.script import SCRIPTS, Script
from tempotask.store.store import Store
from tempotask.store.turns import Turns
from tempotask.store.wire import Lost


@pytest.mark.parametrize("reply", ["{'jobs'}", "{'jobs', 'x'}", "{'jobs', 'x', 'y', 1}", "{'what'}", "{}", "1"])
def test_a_reply_that_is_no_answer_to_a_turn_counts_as_lost(
    store: Store, monkeypatch: pytest.MonkeyPatch, reply: str
) -> None:
    text = f"#!lua\nreturn {reply}"
    monkeypatch.setitem(SCRIPTS, "turn", Script(store.server.client().script_load(text), text))
    turns = Turns(store, "w")
    with pytest.raises(Lost, match="answers something else"):
        turns.take(1)
