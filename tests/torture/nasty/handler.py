"""Handlers that do what no handler should: how they are declared."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NoReturn

from tempotask import Job

LONG = 3600.0
"""Seconds that no job runs."""

Handler = Callable[[Job[Any]], Any]
HANDLERS: dict[str, Handler] = {}


def nasty(handler: Handler) -> Handler:
    """Makes it a task of the application under torture."""
    HANDLERS[handler.__name__] = handler
    return handler


def sleep_for_ever() -> NoReturn:
    while True:
        time.sleep(LONG)
