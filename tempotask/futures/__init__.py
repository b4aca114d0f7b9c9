"""`concurrent.futures` over the queue. It begins with `executor.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tempotask.futures.executor import TempoExecutor as TempoExecutor

__all__ = ["TempoExecutor"]


def __getattr__(name: str) -> Any:
    # Workers and supervisors import what is beside it, and do without the executor.
    if name != "TempoExecutor":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from tempotask.futures.executor import TempoExecutor

    return TempoExecutor
