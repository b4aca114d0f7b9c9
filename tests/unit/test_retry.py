"""What a handler raises to be tried again."""

from __future__ import annotations

import pickle
from datetime import timedelta

import pytest

from tempotask import InvalidOptions, Retry, TempoTaskError


@pytest.mark.parametrize(("after", "seconds"), [(None, None), (0, 0.0), (1.5, 1.5), (timedelta(minutes=1), 60.0)])
def test_it_says_after_how_many_seconds_and_why(after: float | timedelta | None, seconds: float | None) -> None:
    retry = Retry(after=after, reason="busy")
    assert (retry.after, retry.reason, str(retry)) == (seconds, "busy", "busy")


@pytest.mark.parametrize("after", [-1, float("nan"), "soon", True, timedelta(days=-1), 1e12])
def test_a_time_that_makes_no_sense_is_refused_where_it_is_written(after: object) -> None:
    with pytest.raises(InvalidOptions, match=r"after=.*give seconds, 0 or more"):
        Retry(after=after)  # type: ignore[arg-type]


def test_it_is_no_error_of_ours_so_that_handlers_which_catch_those_let_it_through() -> None:
    assert not issubclass(Retry, TempoTaskError)
    assert issubclass(Retry, Exception)


def test_it_can_be_sent_to_another_process() -> None:
    again = pickle.loads(pickle.dumps(Retry(after=2, reason="busy")))
    assert (again.after, again.reason) == (2.0, "busy")
