"""Retry: what a handler raises to be tried again."""

from __future__ import annotations

from datetime import timedelta

from tempotask.durations import duration


class Retry(Exception):
    """Raised in a handler: this try ends here, and another one follows.

    `after` is how long from now, in seconds or as a `timedelta`; left out, the job's own `retry_delay` and `backoff`
    say. `reason` is kept with the errors of the job's tries. Where `attempts` was set, by the task or by the call, it
    uses up one like a failure, and the last one fails as `Retry`; where it was not, it is always granted.

    Raises:
        InvalidOptions: an `after` that is no duration.
    """

    after: float | None = None
    reason: str = ""

    def __init__(self, after: float | timedelta | None = None, reason: str = "") -> None:
        super().__init__(reason)
        self.after = None if after is None else duration("after", after)
        self.reason = reason

    def __reduce__(self) -> tuple[object, ...]:
        return self.__class__, (self.after, self.reason)


def asked_pause(error: Retry) -> float | None:
    """The seconds that it asks for; None if it leaves that to the job's options, or asks for what is no duration: a
    handler may raise a kind of its own, whose `after` is anything."""
    try:
        return None if error.after is None else duration("after", error.after)
    except BaseException:
        return None
