"""Random sequences of all moves, on a real server: whatever gets lost, doubled or late, no job is lost or run twice.

$TEMPOTASK_SEQUENCES says how many sequences are tried; `scripts/torture store` tries many, each repeatable by its seed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from machine import Machine

from tempotask.store.connect import Server


@pytest.fixture
def machine(server_url: str) -> Iterator[type[Machine]]:
    """The machine, at the tests' server."""
    server = Server(server_url)
    yield type("Machine", (Machine,), {"server": server})
    server.close()


@pytest.mark.timeout(3600)
def test_no_sequence_of_moves_loses_a_job_or_runs_one_twice(machine: type[Machine]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=int(os.environ.get("TEMPOTASK_SEQUENCES", "200")),
            stateful_step_count=40,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
