"""A store of the test's own, and commands that are run in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cli.typed import Ended, Run

from tempotask.cli.main import main
from tempotask.store.connect import Server
from tempotask.store.store import Store


@pytest.fixture
def store(server_url: str, namespace: str) -> Iterator[Store]:
    store = Store(Server(server_url), namespace)
    yield store
    store.close()


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
