"""`tempotask top` in a terminal of the test's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from pool.running import Bench
from top.glass import TOP, Terminal


@pytest.fixture
def opened(bench: Bench) -> Iterator[Callable[..., Terminal]]:
    """Starts it on the namespace of the test; give the size of the terminal, and its environment."""
    terminals: list[Terminal] = []

    def open(*size: int, **environment: str) -> Terminal:
        command = [*TOP, "--db", bench.url, "--namespace", bench.namespace]
        terminals.append(Terminal(command, *size, **environment))
        return terminals[-1]

    yield open
    for terminal in terminals:
        terminal.close()
