"""What jobs tell while they run, as the script takes it."""

from __future__ import annotations

import msgspec
import pytest
from play import enqueue, hire, results_of, turn

from tempotask.store import look, shown
from tempotask.store.numbers import LOG_LINES, LOG_MS
from tempotask.store.records import Batch, encode
from tempotask.store.said import Live, is_started, lines_of
from tempotask.store.store import Store

STARTED, HALF = b"started", b"half"


@pytest.fixture
def batch(store: Store) -> Batch:
    """What worker `w` holds: job `a`."""
    hire(store, "w")
    enqueue(store, "a")
    batch = turn(store, "w", 1).batch
    assert batch is not None
    return batch


def say(store: Store, batch: Batch, *lines: object, id: str = "a", worker: str = "w", progress: bytes = b"") -> int:
    known = encode(Live(worker, 1, 10.0, (1.0, 2.0, "half") if progress else None))
    encoded = [msgspec.msgpack.encode((float(number), line)) for number, line in enumerate(lines)]
    return int(store.run("say", worker, batch.turn, 0, id, STARTED, progress, known, *encoded))


def told(store: Store) -> list[tuple[bytes, bytes]]:
    """Kind and content of the events that Python made."""
    entries = reversed(store.server.client().xrevrange(f"{store.prefix}events"))
    return [(fields[b"k"], fields[b"b"]) for _, fields in entries if b"b" in fields]


def test_what_a_running_job_says_is_seen_by_who_looks(store: Store, batch: Batch) -> None:
    assert say(store, batch, "one", {"two": 2}, progress=HALF) == 1
    found = look.find(store, "a")
    assert found is not None
    (details,) = shown.details(store, [found])
    assert details.lines == [(0.0, "one"), (1.0, {"two": 2})]
    assert (details.progress, found.started) == ((1.0, 2.0, "half"), 10.0)
    assert told(store) == []


def test_a_log_is_cut_to_its_newest_lines_and_expires(store: Store, batch: Batch) -> None:
    say(store, batch, *range(LOG_LINES + 2))
    kept = lines_of(store.read("LRANGE", "log:a", 0, -1), None)
    assert (len(kept), kept[0]) == (LOG_LINES, (2.0, 2))
    assert 0 < store.read("PTTL", "log:a") <= LOG_MS


def test_who_does_not_hold_the_job_any_more_says_nothing(store: Store, batch: Batch) -> None:
    store.run("listen", "me", 60_000)
    assert say(store, batch, "other", id="b") == 0
    assert say(store, batch, "other", worker="x") == 0
    store.give_back_tail("w", batch.turn, 0)
    assert say(store, batch, "late") == 0
    again = turn(store, "w", 2).batch
    assert again is not None
    assert say(store, batch, "of an earlier claim") == 0
    turn(store, "w", 3, results=results_of(again), told=True)
    assert say(store, again, "settled") == 0
    assert not store.read("EXISTS", "live")
    assert not store.read("EXISTS", "log:a")
    assert not {b"started", b"progress"} & {kind for kind, _ in told(store)}


def test_a_start_is_told_once_however_often_it_is_sent(store: Store, batch: Batch) -> None:
    assert say(store, batch) == 1
    store.run("listen", "me", 60_000)
    assert [say(store, batch), say(store, batch, progress=HALF)] == [2, 2]
    assert told(store) == [(b"started", STARTED), (b"progress", HALF)]
    live = store.read("HGET", "live", "a")
    assert is_started(live, "w", batch.turn, 0)
    assert not is_started(live, "w", "99", 0)


def test_the_next_start_of_the_same_job_is_told_too(store: Store, batch: Batch) -> None:
    store.run("listen", "me", 60_000)
    assert say(store, batch) == 2
    store.give_back_tail("w", batch.turn, 0)
    again = turn(store, "w", 2).batch
    assert again is not None
    assert say(store, again) == 2
    assert [kind for kind, _ in told(store)] == [b"started", b"started"]


def test_what_an_earlier_try_told_is_not_taken_for_this_one(store: Store, batch: Batch) -> None:
    say(store, batch, progress=HALF)
    store.give_back_all("w")
    hire(store, "v")
    assert turn(store, "v", 1).ids == ["a"]
    found = look.find(store, "a")
    assert found is not None
    assert found.worker == "v"
    assert (shown.details(store, [found])[0].progress, found.started) == (None, None)


def test_a_line_that_was_sent_twice_is_one(store: Store, batch: Batch) -> None:
    say(store, batch, "one")
    say(store, batch, "one", "two")
    stored = store.read("LRANGE", "log:a", 0, -1)
    last = [msgspec.Raw(msgspec.msgpack.encode((1.0, "two"))), msgspec.Raw(msgspec.msgpack.encode((2.0, "one")))]
    assert lines_of(stored, last) == [(0.0, "one"), (1.0, "two"), (2.0, "one")]
