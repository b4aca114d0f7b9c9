"""When schedules fire, and what is refused where it is written."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tempotask import Context, InvalidOptions, Job, JobOptions, QueueManager, Repeat


def ms(text: str, zone: str = "UTC", fold: int = 0) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp() * 1000)


def times(repeat: Repeat, after: int, count: int) -> list[str]:
    """The next firings, in the words of the schedule's zone."""
    found = itertools.islice(repeat.following(after), count)
    return [datetime.fromtimestamp(fires / 1000, ZoneInfo(repeat.tz)).isoformat() for fires in found]


def test_five_fields_are_minute_hour_day_month_weekday() -> None:
    assert times(Repeat("30 4 * * 1-5"), ms("2026-11-26 12:00"), 3) == [
        "2026-11-27T04:30:00+00:00",
        "2026-11-30T04:30:00+00:00",
        "2026-12-01T04:30:00+00:00",
    ]


def test_six_fields_begin_with_the_second() -> None:
    assert times(Repeat("*/20 * * * * *"), ms("2026-11-26 12:00"), 3) == [
        "2026-11-26T12:00:20+00:00",
        "2026-11-26T12:00:40+00:00",
        "2026-11-26T12:01:00+00:00",
    ]


def test_a_step_as_long_as_its_field_is_one_firing_in_it() -> None:
    assert times(Repeat("*/60 */24 * * *"), ms("2026-11-26 12:00"), 2) == [
        "2026-11-27T00:00:00+00:00",
        "2026-11-28T00:00:00+00:00",
    ]


def test_a_pattern_is_read_in_the_zone_that_is_given() -> None:
    assert times(Repeat("0 9 * * *", tz="Asia/Kolkata"), ms("2026-11-26 00:00"), 1) == ["2026-11-26T09:00:00+05:30"]


def test_a_time_that_the_change_of_clocks_leaves_out_comes_right_after_the_gap_and_once() -> None:
    assert times(Repeat("0,30 2 * * *", tz="Europe/Berlin"), ms("2026-03-28 12:00"), 2) == [
        "2026-03-29T03:00:00+02:00",
        "2026-03-30T02:00:00+02:00",
    ]


def test_seconds_change_nothing_about_the_change_of_clocks() -> None:
    gap = Repeat("0,15 30 2 * * *", tz="Europe/Berlin")
    assert times(gap, ms("2026-03-28 12:00"), 3) == [
        "2026-03-29T03:00:00+02:00",
        "2026-03-29T03:00:15+02:00",
        "2026-03-30T02:30:00+02:00",
    ]
    assert times(Repeat("15 30 2 * * *", tz="Europe/Berlin"), ms("2026-10-24 12:00"), 2) == [
        "2026-10-25T02:30:15+02:00",
        "2026-10-26T02:30:15+01:00",
    ]


def test_seconds_of_the_minute_that_it_is_are_not_left_out() -> None:
    assert times(Repeat("*/20 30 2 * * *"), ms("2026-11-26 02:30") + 20_000, 2) == [
        "2026-11-26T02:30:40+00:00",
        "2026-11-27T02:30:00+00:00",
    ]


@pytest.mark.parametrize("fold", [0, 1])
def test_a_time_that_comes_twice_fires_once(fold: int) -> None:
    found = times(Repeat("30 2 * * *", tz="Europe/Berlin"), ms("2026-10-25 02:10", "Europe/Berlin", fold), 2)
    assert found[-1].startswith("2026-10-2" + "67"[fold])
    assert found[0] == ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"][fold]


def test_what_fires_all_day_fires_in_both_hours_of_the_same_name() -> None:
    assert times(Repeat("*/30 * * * *", tz="Europe/Berlin"), ms("2026-10-25 02:00", "Europe/Berlin"), 4) == [
        "2026-10-25T02:30:00+02:00",
        "2026-10-25T02:00:00+01:00",
        "2026-10-25T02:30:00+01:00",
        "2026-10-25T03:00:00+01:00",
    ]


def test_every_fires_at_multiples_of_it_since_1970() -> None:
    assert list(itertools.islice(Repeat(every=0.25).following(1_000), 3)) == [1_250, 1_500, 1_750]
    assert Repeat(every=timedelta(hours=1)).after(ms("2026-11-26 12:34")) == ms("2026-11-26 13:00")


# On a machine of any speed.
@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(["* * * * *", "*/7 3,17 * * *", "0 0 29 2 *", "30 2 * * SUN", "15 10 2 * * *", None]),
    st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe"]),
    st.integers(ms("2001-01-01 00:00"), ms("2060-01-01 00:00")),
    st.integers(0, 400 * 86_400_000),
)
def test_the_latest_firing_is_the_one_after_which_none_comes_until_now(
    pattern: str | None, tz: str, first: int, later: int
) -> None:
    repeat = Repeat(pattern, tz=tz) if pattern else Repeat(every=17.5)
    began = repeat.after(first)
    assert began is not None
    assert began > first
    now = began + later
    latest = repeat.latest(began, now)
    following = repeat.after(latest)
    assert began <= latest <= now
    assert following is not None
    assert following > now
    assert repeat.after(latest - 1) == latest


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("61 * * * *", "minute: 61 is not within 0-59"),
        ("60 0 0 * * *", "second: 60 is not within 0-59"),
        ("* 24 * * *", "hour: 24 is not within 0-23"),
        ("* * 0 * *", "day of the month: 0 is not within 1-31"),
        ("* * * 13 *", "month: 13 is not within 1-12"),
        ("* * * * 8", "day of the week: 8 is not within 0-7"),
        ("*/0 * * * *", "minute: */0 has no step"),
        ("*/61 * * * *", "minute: */61 steps beyond 0-59; give a step of at most 60"),
        ("5,10-20/90 * * * *", "minute: 10-20/90 steps beyond 0-59"),
        ("0 */25 * * *", "hour: */25 steps beyond 0-23"),
        ("0 0 1 */13 *", "month: */13 steps beyond 1-12"),
        ("30-20 * * * *", "minute: 30-20 ends before it begins"),
        ("* * * * FRI-MON", "day of the week: FRI-MON ends before it begins"),
        ("1,,2 * * * *", "minute: 1,,2 has an empty part"),
        ("* * * FOO *", "month: 'FOO' is not understood"),
        ("* * * *", "has 4 fields; give five"),
        ("", "has 0 fields; give five"),
        ("@daily", "has 1 field; give five"),
        ("0 0 30 2 *", "never fires"),
        ("0 0 31 4,6,9,11 *", "never fires"),
        ("* " * 5 + " " * 300, "up to 200"),
    ],
)
def test_a_nonsense_pattern_is_refused_and_the_field_named(pattern: str, why: str) -> None:
    with pytest.raises(InvalidOptions) as refused:
        JobOptions(repeat=pattern)
    assert why in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({}, "give one of them"),
        ({"pattern": "* * * * *", "every": 3}, "give one of them"),
        ({"every": 0}, "every=0: give seconds, 0.01 or more"),
        ({"every": True}, "every=True"),
        ({"every": "1h"}, "every='1h'"),
        ({"every": 1, "jitter": -1}, "jitter=-1"),
        ({"every": 1, "limit": 0}, "limit=0: give a whole number"),
        ({"every": 1, "limit": 10**30}, "give a whole number from 1 to 1,000,000,000,000"),
        ({"every": 1e300}, "up to 100 years"),
        ({"every": 1, "overlap": "no"}, "overlap='no': give True or False"),
        ({"every": 1, "tz": "Europe/Berln"}, "did you mean 'Europe/Berlin'?"),
        ({"every": 1, "tz": "tokyo"}, "did you mean 'Asia/Tokyo'?"),
        ({"every": 1, "tz": "../../etc/passwd"}, "there is no time zone"),
        ({"every": 1, "tz": ["UTC"]}, "give the name of a time zone"),
        ({"pattern": "0 9 * * *", "tz": "CEST"}, "there is no time zone 'CEST'; give a name like Europe/Berlin"),
        ({"pattern": "0 9 * * *", "tz": "PDT"}, "give a name like Europe/Berlin"),
        ({"every": 5, "tz": "Europe/Berlin"}, "tz='Europe/Berlin' means nothing to every"),
        ({"pattern": 5}, "pattern=5"),
    ],
)
def test_a_repeat_that_makes_no_sense_is_refused_in_one_line(options: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidOptions) as refused:
        Repeat(**options)
    assert why in str(refused.value)
    assert "\n" not in str(refused.value)


def test_repeat_takes_a_pattern_or_a_repeat() -> None:
    assert JobOptions(repeat="*/5 * * * *").repeat == Repeat("*/5 * * * *")
    with pytest.raises(InvalidOptions, match="give a pattern"):
        JobOptions(repeat=300)  # type: ignore[arg-type]


def test_a_repeat_comes_through_msgpack_as_it_was() -> None:
    repeat = Repeat("*/5 * * * * *", tz="Europe/Berlin", limit=3, jitter=timedelta(seconds=2), catch_up=True)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(repeat), type=Repeat) == repeat


def test_a_task_that_repeats_and_needs_data_is_refused_where_it_is_declared() -> None:
    manager = QueueManager.init()
    with pytest.raises(InvalidOptions, match="come without data"):

        @manager.task(queue="q", repeat="* * * * *")
        def needy(job: Job[dict[str, int]], ctx: Context[Any]) -> None: ...


def test_two_tasks_that_repeat_under_one_id_are_refused() -> None:
    manager = QueueManager.init()

    def tidy(job: Job[None], ctx: Context[Any]) -> None: ...

    manager.register_job(name="a", queue="q", handler=tidy, options={"repeat": "* * * * *", "id": "tidy"})
    with pytest.raises(InvalidOptions, match="give each an id"):
        manager.register_job(name="b", queue="q", handler=tidy, options={"repeat": "0 * * * *", "id": "tidy"})


def test_what_has_passed_its_year_10000_fires_no_more() -> None:
    assert Repeat("0 0 1 1 *").after(int(datetime(9999, 12, 30, tzinfo=UTC).timestamp() * 1000)) is None
