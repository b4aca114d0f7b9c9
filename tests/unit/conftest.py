"""A manager that runs jobs inline, and what its handlers saw."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from unit.inlined import App

from tempotask import QueueManager


@pytest.fixture
def tempotask() -> Iterator[QueueManager[App]]:
    with QueueManager.init(inline=True, ctx=App) as manager:
        yield manager


@pytest.fixture
def seen(tempotask: QueueManager[App]) -> list[Any]:
    """What handlers saw: the application's context is the same for all."""
    return tempotask.context().app.seen
