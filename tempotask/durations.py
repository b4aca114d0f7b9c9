"""Durations, as they may be given: seconds, or a `timedelta`."""

from __future__ import annotations

from datetime import timedelta
from numbers import Real

from tempotask.errors import InvalidOptions
from tempotask.names import short

Duration = float | timedelta
"""Seconds, or a `timedelta`."""
LONGEST = 100 * 365 * 86400.0
"""No duration is longer than this many seconds: a hundred years."""


def patience(timeout: object) -> float | None:
    """How long to wait, in seconds; None for as long as it takes. A time that is over already is one; `InvalidOptions`
    for what is no time."""
    if timeout is None:
        return None
    seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    if not isinstance(seconds, Real) or isinstance(seconds, bool) or seconds != seconds:
        raise InvalidOptions(f"timeout={short(timeout)}: give seconds, or None to wait as long as it takes")
    # Before it is a float: not every int can be one.
    return float(max(-LONGEST, min(seconds, LONGEST)))  # type: ignore[arg-type]


def duration(name: str, value: object, *, least: float = 0.0, zero: bool = True) -> float:
    """An option that is a duration, as seconds, of at least `least`; `InvalidOptions` if it is none."""
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    # Also numpy's.
    number = isinstance(seconds, Real) and not isinstance(seconds, bool)
    if not number or not least <= seconds <= LONGEST or (seconds == 0 and not zero):  # type: ignore[operator]
        bound = f"{least:g} or more" if zero else "more than 0"
        given = f"{name}={short(value)}"
        raise InvalidOptions(f"{given}: give seconds, {bound}, as a number or a timedelta (up to 100 years)")
    return float(seconds)  # type: ignore[arg-type]
