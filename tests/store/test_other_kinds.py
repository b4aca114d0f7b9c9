"""That a key of another kind than it should be does not keep `check` and `repair` from their work."""

from __future__ import annotations

import pytest
from filled import fill

from tempotask.store.check import check
from tempotask.store.keys import TABLE
from tempotask.store.repair import repair
from tempotask.store.store import Store

SINGLE = [name for name, text in TABLE.items() if "<" not in name and not text.startswith(("string", "counter"))]
OF_A_QUEUE = ["queue:0:other", "priorities:other", "counts:other", "history:q:failed", "worker:w1", "claims:w1:4"]


@pytest.mark.parametrize("name", [*SINGLE, *OF_A_QUEUE])
def test_check_and_repair_name_a_key_of_another_kind_and_the_rest(store: Store, name: str) -> None:
    fill(store)
    client = store.server.client()
    client.delete(f"{store.prefix}{name}")
    client.set(f"{store.prefix}{name}", "x")
    client.hset(f"{store.prefix}calls:1", "a", "")
    assert repair(store), "what has nothing to do with it is mended"
    told = [violation.text for violation in check(store) if violation.key == name]
    assert any(text.startswith("should be a ") for text in told)
