"""That scripts and Python agree on what is the head of a record, and on what is none."""

from __future__ import annotations

import pytest
from filled import fill

from tempotask.store import script
from tempotask.store.records import UNREADABLE_QUEUE, Record, Unreadable, decode_record, encode, head
from tempotask.store.store import Store


def in_scripts(store: Store, record: bytes) -> tuple[str, ...]:
    """Flags, id, queue and priority as base.lua reads them."""
    base = (script._FOLDER / "base.lua").read_text()
    text = "\n".join([script._NUMBERS, base, "local a, b, c, d = head(ARGV[1]); return { a, b, c, d }"])
    return tuple(part.decode() for part in store.server.client().eval(text, 1, store.ring, record))


def with_priority(priority: str) -> bytes:
    return encode(Record("c1", "some-id", "q", priority, "n", 1.0))


def spelt(record: bytes, head: bytes, id: bytes) -> bytes:
    """The same with another header of the array, and of the id."""
    return head + record[1:].replace(b"\xa7some-id", id + b"some-id")


PLAIN = with_priority("0")
RECORDS = {
    "a plain one": (PLAIN, True),
    "eight digits": (with_priority("12345678"), True),
    "seven digits below zero": (with_priority("-1234567"), True),
    "eight digits below zero": (with_priority("-12345678"), False),
    "nine digits": (with_priority("123456789"), False),
    "no digits": (with_priority("-"), False),
    "an id with a length in one byte": (spelt(PLAIN, PLAIN[:1], b"\xd9\x07"), True),
    "an id with a length in two bytes": (spelt(PLAIN, PLAIN[:1], b"\xda\x00\x07"), True),
    "an id with a length in four bytes": (spelt(PLAIN, PLAIN[:1], b"\xdb\x00\x00\x00\x07"), True),
    "an id with a length that is not there": (PLAIN[:4] + b"\xdb\x00\x00", False),
    "a header in two bytes": (spelt(PLAIN, b"\xdc\x00\x0c", b"\xa7"), False),
}


@pytest.mark.parametrize("record", RECORDS)
def test_scripts_and_python_read_the_same_head(admin: Store, record: str) -> None:
    stored, readable = RECORDS[record]
    told = in_scripts(admin, stored)
    decoded = decode_record(stored)
    assert told == (decoded.flags, decoded.id, decoded.queue, decoded.priority)
    assert isinstance(decoded, Unreadable) is not readable
    assert (told[2] != UNREADABLE_QUEUE) is readable
    if readable:
        assert head(stored) == told
    else:
        with pytest.raises(ValueError, match=r"no |cut off"):
            head(stored)


def test_they_agree_on_all_records_of_a_full_namespace(store: Store, admin: Store) -> None:
    fill(store)
    records = store.read("LRANGE", "queue:0:other", 0, -1) + store.read("ZRANGE", "due", 0, -1)
    assert len(records) > 1
    for record in filter(None, records):
        assert in_scripts(admin, record) == head(record)
