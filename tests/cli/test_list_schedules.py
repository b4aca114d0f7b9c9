"""What `tempotask schedules` lists."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tempotask import QueueManager, Repeat
from tempotask.cli.main import main
from tempotask.store import schedules
from tempotask.store.schedules import Schedule
from tempotask.store.store import Store


@pytest.fixture
def listed(server_url: str, namespace: str, capsys: pytest.CaptureFixture[str]) -> Any:
    def listed(*options: str) -> tuple[str, str]:
        with pytest.raises(SystemExit) as exit:
            main(("schedules", "--db", server_url, "--namespace", namespace, *options))
        assert exit.value.code == 0
        return capsys.readouterr()

    return listed


def test_schedules_are_listed_with_their_next_times(listed: Any, store: Store, server_url: str, namespace: str) -> None:
    schedules.declare(store, Schedule("q:tick", "q", "tick", Repeat("0 0 1 1 *", tz="Europe/Berlin")))
    with QueueManager.init(server_url, namespace=namespace) as manager:
        options = {"id": "mine", "repeat": Repeat(every=3600, limit=2, jitter=1.5, overlap=True)}
        manager.enqueue(name="tock", queue="q", options=options)
    mine, theirs = (json.loads(line) for line in listed("--json")[0].splitlines())
    assert (mine["id"], mine["queue"], mine["name"], mine["source"]) == ("mine", "q", "tock", "added")
    assert (mine["pattern"], mine["every"], mine["limit"], mine["fired"], mine["last"]) == (None, 3600, 2, 0, None)
    assert (mine["jitter"], mine["overlap"], mine["catch_up"]) == (1.5, True, False)
    assert mine["next"] == [mine["next"][0], mine["next"][0] + 3600], "no more than its limit"
    assert (theirs["id"], theirs["pattern"], theirs["tz"]) == ("q:tick", "0 0 1 1 *", "Europe/Berlin")
    assert theirs["source"] == "declared"
    assert len(theirs["next"]) == 3
    told = listed()[0].splitlines()
    assert told[0].split() == ["id", "queue", "name", "when", "tz", "next", "last", "source"]
    assert "every 3600 s" in told[1]
    assert "0 0 1 1 *" in told[2]


def test_no_schedules_is_said(listed: Any) -> None:
    assert "no schedules in namespace" in listed()[1]


def test_schedules_that_nobody_fires_are_told_to_be_so(listed: Any, store: Store) -> None:
    assert "no supervisor works" not in listed()[1]
    schedules.declare(store, Schedule("q:tick", "q", "tick", Repeat("0 0 1 1 *")))
    assert "no supervisor works in namespace" in listed()[1]
    assert listed("--json")[1] == ""
