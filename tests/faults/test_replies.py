"""Replies that get lost after their script ran, a few of each; thousands: `scripts/torture replies`."""

from __future__ import annotations

import pytest
from torture.calls import CALLS
from torture.replies import run

from tempotask.store.script import SCRIPTS


def test_every_script_has_its_replies_lost() -> None:
    assert CALLS.keys() == SCRIPTS.keys()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_script_makes_a_job_twice_or_loses_one_when_its_reply_is_lost() -> None:
    found = run(3 * len(SCRIPTS), list(SCRIPTS), seed=0)
    assert [each for each in found if not each.right] == []
    assert sum(each.losses for each in found) == 3 * len(SCRIPTS)
