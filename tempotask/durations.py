"""Durations, as they may be given: seconds, or a `timedelta`."""

from __future__ import annotations

import math
from datetime import timedelta

from tempotask.errors import InvalidOptions

Duration = float | timedelta
"""Seconds, or a `timedelta`."""
LONGEST = 100 * 365 * 86400.0
"""No duration is longer than this many seconds: a hundred years."""


def duration(name: str, value: object, *, least: float = 0.0, zero: bool = True) -> float:
    """An option that is a duration, as seconds, of at least `least`; `InvalidOptions` if it is none."""
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    number = isinstance(seconds, int | float) and not isinstance(seconds, bool) and math.isfinite(seconds)
    if not number or not least <= seconds <= LONGEST or (seconds == 0 and not zero):  # type: ignore[operator]
        bound = f"{least:g} or more" if zero else "more than 0"
        raise InvalidOptions(f"{name}={value!r}: give seconds, {bound}, as a number or a timedelta (up to 100 years)")
    return float(seconds)  # type: ignore[arg-type]
