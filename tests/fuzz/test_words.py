"""That what people write, URLs, patterns, options and names, is understood or refused by name, and nothing else."""

from __future__ import annotations

import contextlib
import math
import time
from typing import Any

from fuzz.hostile import tries
from hypothesis import given
from hypothesis import strategies as st

from tempotask import InvalidOptions, JobOptions, QueueManager, Repeat, TempoTaskError
from tempotask.durations import patience
from tempotask.names import check_id, check_name
from tempotask.store.connect import Server

numbers = st.one_of(st.integers(), st.floats(), st.sampled_from((0, -1, 10**400, math.nan, math.inf, -math.inf, 1e308)))
anything = st.one_of(
    *(st.none(), st.booleans(), numbers, st.text(max_size=20), st.binary(max_size=5), st.timedeltas()),
    *(st.lists(st.integers(), max_size=2), st.dictionaries(st.text(max_size=3), st.integers(), max_size=2)),
    st.just(object()),
)

SCHEMES = ("redis", "rediss", "valkey", "unix", "redis+sentinel", "rediss+sentinel", "http", "")
PARTS = (
    *("://", ":", "/", "//", "@", "?", "&", "=", "#", "%", "%zz", "%00", "[", "]", "[::1]", ",", " ", "\n", "\x00"),
    *("user", "secret", "localhost", "127.0.0.1", "6379", "99999", "-1", "0", "a" * 300, "é", "\ud800", "🦄"),
    *("db", "protocol", "ssl_cert_reqs", "none", "socket_timeout", "health_check_interval", "client_name", "mymaster"),
)
urls = st.builds(
    lambda scheme, parts: scheme + "".join(parts),
    st.sampled_from(SCHEMES),
    st.lists(st.sampled_from(PARTS), max_size=9),
)


@tries(100)
@given(url=st.one_of(urls, st.text(max_size=30)))
def test_a_url_says_where_a_server_is_or_is_refused_in_one_line(url: str) -> None:
    refused = ""
    try:
        assert Server(url).label
    except InvalidOptions as error:
        refused = str(error)
    assert len(refused) < 1000
    assert "\n" not in refused


FIELDS = (
    *("*", "0", "5", "59", "60", "-1", "*/5", "*/0", "1-5", "5-1", "1,2", ",", "1-", "/", "L", "W", "15W", "LW", "?"),
    *(
        "MON",
        "mon",
        "MON#2",
        "5L",
        "JAN",
        "JAN-MAR",
        "31",
        "30",
        "29",
        "2",
        "99999999999",
        "*/99999",
        "0-59/7",
        "",
        "é",
    ),
)
patterns = st.one_of(
    st.lists(st.sampled_from(FIELDS), min_size=4, max_size=7).map(" ".join),
    st.text(alphabet="0123456789*/,-LW#? \t\nA", max_size=30),
    st.text(max_size=10),
)


@tries(80)
@given(
    pattern=patterns,
    zone=st.sampled_from(("UTC", "Europe/Berlin", "Asia/Kathmandu", "nowhere", "", "../etc/x", "\x00")),
)
def test_a_pattern_has_a_next_time_or_is_refused_before_long(pattern: str, zone: str) -> None:
    began = time.process_time()
    with contextlib.suppress(InvalidOptions):
        assert Repeat(pattern, tz=zone).after(1_700_000_000_000) is not None
    assert time.process_time() - began < 5, "seconds for a pattern"


@tries(100)
@given(fields=st.dictionaries(st.sampled_from(Repeat.__struct_fields__), anything, max_size=4))
def test_a_repeat_is_made_or_refused(fields: dict[str, Any]) -> None:
    with contextlib.suppress(InvalidOptions):
        repeat = Repeat(**fields)
        assert repeat.after(1_700_000_000_000) is not None
        assert str(repeat)


OPTIONS = tuple(JobOptions.__annotations__)


@tries(80)
@given(options=st.dictionaries(st.one_of(st.sampled_from(OPTIONS), st.text(max_size=8)), anything, max_size=4))
def test_options_of_a_job_are_taken_or_refused(options: dict[str, Any]) -> None:
    with QueueManager.init(inline=True) as manager, contextlib.suppress(TempoTaskError):
        manager.enqueue(name="n", queue="q", data=None, options=options)


@tries(100)
@given(
    options=st.dictionaries(
        st.sampled_from(
            (
                *("max_jobs_per_status", "max_results", "max_results_bytes", "max_payload_bytes", "connect_timeout"),
                *("lease", "grace", "max_memory", "max_jobs_per_worker", "durability", "what"),
            )
        ),
        anything,
        min_size=1,
        max_size=3,
    )
)
def test_options_of_an_application_are_taken_or_refused(options: dict[str, Any]) -> None:
    with contextlib.suppress(InvalidOptions):
        QueueManager.init(inline=True, options=options).close()


@tries(100)
@given(word=anything)
def test_names_ids_and_times_are_taken_or_refused(word: object) -> None:
    for read in (lambda word: check_name("queue", word), check_id, patience):
        with contextlib.suppress(TempoTaskError):
            read(word)


items = st.one_of(
    anything,
    st.dictionaries(st.sampled_from(("name", "queue", "data", "options", "what")), anything, max_size=4),
    st.fixed_dictionaries({"name": st.just("n"), "queue": st.just("q"), "options": anything}),
)


@tries(100)
@given(jobs=st.lists(items, max_size=3))
def test_jobs_of_a_bulk_call_are_taken_or_refused(jobs: list[Any]) -> None:
    with QueueManager.init(inline=True) as manager, contextlib.suppress(TempoTaskError):
        manager.enqueue_many(jobs)
