"""What can be set, and what is said about what can't."""

from __future__ import annotations

import dataclasses
import math
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

import pytest
from msgspec import UNSET

from tempotask import InvalidName, InvalidOptions, JobOptions, Options
from tempotask.store.records import RunOptions


@pytest.mark.parametrize(("elsewhere", "here"), [("max_retries", "attempts"), ("eta", "delay_until"), ("job_id", "id")])
def test_what_other_queues_call_an_option_is_told_by_its_name_here(elsewhere: str, here: str) -> None:
    with pytest.raises(InvalidOptions, match=f"there is no option '{elsewhere}'; did you mean '{here}'"):
        JobOptions.of({elsewhere: 3})


def test_options_that_were_not_given_are_unset() -> None:
    options = JobOptions(priority=5)
    assert options.given() == {"priority": 5}
    assert options.attempts is UNSET
    assert repr(options) == "JobOptions(priority=5)"
    assert options == JobOptions(priority=5) != JobOptions()


def test_none_is_as_if_an_option_without_a_value_of_its_own_were_left_out() -> None:
    assert JobOptions(id=None, delay=None, delay_until=None, repeat=None, priority=1).given() == {"priority": 1}  # type: ignore[arg-type]


def test_options_stay_as_they_are() -> None:
    with pytest.raises(AttributeError):
        JobOptions(priority=5).priority = 6  # type: ignore[misc]


def test_durations_may_be_numbers_or_timedeltas() -> None:
    options = JobOptions(delay=timedelta(minutes=1), timeout=3, retry_delay=0.5)
    assert options.given() == {"delay": 60.0, "timeout": 3.0, "retry_delay": 0.5}


def test_errors_that_are_tried_again_may_be_one_type_or_several() -> None:
    options = JobOptions(retry_on=[OSError, KeyError], fail_on=FileNotFoundError)
    assert options.given() == {"retry_on": (OSError, KeyError), "fail_on": (FileNotFoundError,)}
    assert JobOptions(retry_on=()).given() == {"retry_on": ()}
    assert options.run() is None


def test_only_what_a_run_needs_travels_with_the_job() -> None:
    assert JobOptions(id="a", priority=1, delay=1).run() is None
    assert JobOptions(id="a", attempts=3, timeout=None).run() == RunOptions(attempts=3, timeout=None)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"atempts": 3}, "there is no option 'atempts'; did you mean 'attempts'?"),
        ({"options": {"priority": 3}}, "give options as keywords, as in priority=5"),
        ({"colour": 3}, "there is no option 'colour'; there are id, priority"),
        ({"repeat": "61 * * * *"}, "minute: 61 is not within 0-59"),
        ({"retry_on": "ValueError"}, "give an exception type, or a tuple of them"),
        ({"fail_on": [ValueError, 5]}, "give an exception type, or a tuple of them"),
        ({"fail_on": ValueError("x")}, "give an exception type, or a tuple of them"),
        ({"cancel_grace": -1}, "give seconds, 0 or more"),
        ({"priority": 1_000_001}, "from -1,000,000 to 1,000,000"),
        ({"priority": True}, "a whole number"),
        ({"priority": 1.5}, "a whole number"),
        ({"attempts": 0}, "a whole number of at least 1"),
        ({"attempts": 10**30}, "a whole number from 1 to 9,007,199,254,740,992"),
        ({"delay": -1}, "give seconds, 0 or more"),
        ({"delay": math.nan}, "give seconds"),
        ({"delay": "soon"}, "give seconds"),
        ({"delay": True}, "give seconds"),
        ({"timeout": 0}, "more than 0"),
        ({"timeout": timedelta(days=365_000)}, "up to 100 years"),
        ({"backoff": "steep"}, 'give "fixed" or "exponential"'),
        ({"delay_until": datetime(2030, 1, 1)}, "has no time zone"),
        ({"delay_until": 1234.5}, "give an aware datetime"),
        ({"delay": 1, "delay_until": datetime.now(UTC)}, "exclude each other"),
        ({"max_crashes": None}, "a whole number"),
        ({"keep_result": None}, "give seconds"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(given: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidOptions) as refused:
        JobOptions(**given)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("id", ["", "a b", "a\tb", "x" * 201, "\x00", 5, "0mwvdfgddvbu19n-0", "a\ud800"])
def test_ids_that_are_not_spelt_as_ids_are_refused(id: Any) -> None:
    with pytest.raises(InvalidName):
        JobOptions(id=id)


@pytest.mark.parametrize("id", ["a", "x" * 200, "übergröße:1", "a/b@c", "0mwvdfgddvbu19n", "0MWVDFGDDVBU19N-0"])
def test_other_ids_are_the_users_own(id: str) -> None:
    assert JobOptions(id=id).id == id


class Priority(int, Enum):
    HIGH = 5


class Text(str):
    pass


def test_members_of_enums_and_other_kinds_of_text_are_what_they_are_worth() -> None:
    options = JobOptions(priority=Priority.HIGH, id=Text("a"))
    assert options.priority == 5
    assert type(options.priority) is int
    assert type(options.id) is str


def test_options_can_be_replaced() -> None:
    assert dataclasses.replace(JobOptions(attempts=3), priority=5) == JobOptions(attempts=3, priority=5)


def test_options_may_come_as_a_mapping_or_not_at_all() -> None:
    assert JobOptions.of(None) == JobOptions()
    assert JobOptions.of({"attempts": 2}) == JobOptions(attempts=2)
    assert JobOptions.of(options := JobOptions()) is options
    with pytest.raises(InvalidOptions, match="give JobOptions"):
        JobOptions.of(5)
    with pytest.raises(InvalidOptions, match="there is no option '1'"):
        JobOptions.of({1: 2})


def test_an_application_has_defaults() -> None:
    options = Options()
    assert options.max_jobs_per_status == {"completed": 200, "failed": 10_000, "cancelled": 200}
    assert (options.max_results, options.max_results_bytes) == (1_000_000, 256 * 2**20)
    assert (options.connect_timeout, options.lease, options.grace) == (10.0, 10.0, 30.0)


def test_a_server_is_given_some_time_to_answer() -> None:
    assert Options(connect_timeout=0.1).connect_timeout == 0.1
    with pytest.raises(InvalidOptions, match=r"connect_timeout=0.*0\.1 or more"):
        Options(connect_timeout=0)


def test_history_may_be_limited_for_all_statuses_or_for_some() -> None:
    assert set(Options(max_jobs_per_status=7).max_jobs_per_status.values()) == {7}
    assert Options(max_jobs_per_status={"failed": 7}).max_jobs_per_status == {
        "completed": 200,
        "failed": 7,
        "cancelled": 200,
    }
    with pytest.raises(InvalidOptions, match="no status 'waiting'"):
        Options(max_jobs_per_status={"waiting": 7})


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"max_result": 3}, "did you mean 'max_results'?"),
        ({"durability": "high"}, 'give "memory", "disk" or "replica"'),
        ({"max_memory": 1}, "give bytes, at least 1 MiB"),
        ({"lease": 0}, "give seconds, 0.5 or more"),
        ({"max_payload_bytes": 0}, "a whole number"),
    ],
)
def test_an_applications_bad_options_are_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidOptions, match=says.replace("?", r"\?")):
        Options(**given)


def test_an_applications_options_can_be_handed_to_another_process() -> None:
    options = Options(max_jobs_per_status=7, lease=timedelta(seconds=3))
    assert Options.decode(options.encode()) == options


@pytest.mark.parametrize(
    ("given", "size"),
    [(None, None), (3 << 20, 3 << 20), ("500MiB", 500 << 20), ("1.5 GiB", 3 << 29), ("200mb", 200_000_000)],
)
def test_the_memory_of_a_worker_is_limited_in_bytes_or_with_a_unit(given: int | str | None, size: int | None) -> None:
    assert Options(max_memory=given).max_memory == size


@pytest.mark.parametrize("given", ["a lot", "500XB", "-3MiB", True, 2.5])
def test_a_limit_of_memory_that_makes_no_sense_is_refused(given: Any) -> None:
    with pytest.raises(InvalidOptions, match='as in "500MiB"'):
        Options(max_memory=given)


def test_what_counts_as_a_whole_number_is_taken_as_one() -> None:
    class Index:
        def __index__(self) -> int:
            return 3

    options = JobOptions(priority=Index())  # type: ignore[arg-type]
    assert options.priority == 3
    assert type(options.priority) is int


class Word(str, Enum):  # noqa: UP042 - StrEnum is written down as its text, this is not
    EXPONENTIAL = "exponential"
    COMPLETED = "completed"


def test_a_word_may_be_the_member_of_an_enum() -> None:
    backoff: Any = Word.EXPONENTIAL
    assert JobOptions(backoff=backoff).given()["backoff"] == "exponential"
    kept = Options(max_jobs_per_status={Word.COMPLETED: 5}).max_jobs_per_status
    assert kept["completed"] == 5
    assert set(kept) == {"completed", "failed", "cancelled"}


def test_a_pattern_that_is_none_is_told_with_the_name_of_the_option() -> None:
    with pytest.raises(InvalidOptions, match=r"^repeat: pattern 'x' has 1 field"):
        JobOptions(repeat="x")
