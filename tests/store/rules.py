"""How the protocol's rules (docs/design.md) are tested: each with a test that fails when the rule is left out.

Each scenario runs twice: on the scripts as they are, where it must pass, and on a script that lacks the rule's line,
where it must not. Of rules 8, 10 and 11 the store's half is tested so.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tempotask.store.script import SCRIPTS, Script
from tempotask.store.store import Store

Scenario = Callable[[Store], None]


def needs(script: str, *lines: str, instead: str = "") -> Callable[[Scenario], Callable[..., None]]:
    """The scenario passes with these lines of a script, and fails with others instead."""

    def decorate(scenario: Scenario) -> Callable[..., None]:
        @pytest.mark.parametrize("kept", [True, False], ids=["with the rule", "without it"])
        def test(store: Store, monkeypatch: pytest.MonkeyPatch, kept: bool) -> None:
            if kept:
                scenario(store)
                return
            text = SCRIPTS[script].text
            for line in lines:
                assert text.count(line) == 1, f"{script}.lua has no such line (any more): {line}"
                text = text.replace(line, instead)
            sha = store.server.client().script_load(text)
            monkeypatch.setitem(SCRIPTS, script, Script(sha, text))
            with pytest.raises(AssertionError):
                scenario(store)

        test.__name__ = scenario.__name__
        return test

    return decorate


def lease_of(store: Store, supervisor: str) -> str:
    return (store.read("HGET", "leases", supervisor) or b"").decode()
