"""Commands that are run in the namespace of the test, and a manager there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli.mapped import Maps
from cli.typed import Ended, Run

from tempotask import QueueManager
from tempotask.cli.main import main


@pytest.fixture
def bare(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command as it was typed."""

    def run(*arguments: str) -> Ended:
        with pytest.raises(SystemExit) as exit:
            main(arguments)
        told = capsys.readouterr()
        assert isinstance(exit.value.code, int)
        return Ended(exit.value.code, told.out, told.err)

    return run


@pytest.fixture
def run(bare: Run, server_url: str, namespace: str) -> Run:
    """Runs a command in the test's namespace."""
    return lambda *arguments: bare(*arguments, "--db", server_url, "--namespace", namespace)


@pytest.fixture
def manager(server_url: str, namespace: str) -> Iterator[QueueManager[Any]]:
    with QueueManager.init(server_url, namespace=namespace) as manager:
        yield manager


@pytest.fixture
def maps(tmp_path: Path, server_url: str) -> Maps:
    """Maps in a folder of the test's own, on the server of the tests."""
    return Maps(tmp_path, {"TEMPOTASK_DB": server_url})
