"""What can't be sent is named, with its place."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import re
import uuid
from typing import Any

import msgspec
import pytest

from tempotask import InvalidPayload
from tempotask.payload import encode


class Point(msgspec.Struct):
    x: Any


@dataclasses.dataclass
class Pair:
    left: Any


class Odd:
    pass


class Text(str):
    pass


class Number(int):
    pass


def circle() -> list[Any]:
    ring: list[Any] = []
    ring.append(ring)
    return ring


@pytest.mark.parametrize(
    "value",
    [None, {"a": [1, b"x"]}, Point(1), Pair(uuid.uuid4()), decimal.Decimal("1.5"), datetime.datetime.now(), {1}],
)
def test_what_msgspec_knows_is_encoded(value: object) -> None:
    assert encode(value, 1000) == msgspec.msgpack.encode(value)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (Odd(), "data is of type test_payload.Odd"),
        ({"frames": [1, 2, {"x": Odd()}]}, "data['frames'][2]['x'] is of type test_payload.Odd"),
        (Point(Pair((1, Odd()))), "data.x.left[1] is of type test_payload.Odd"),
        ({"a": {"b": 2**64}}, "data['a']['b'] is an int of more than 64 bits"),
        ({"a": "\ud800"}, "data['a'] is a str that is not valid Unicode"),
        ([Text("a")], "data[0] is of type test_payload.Text"),
        ([Number(1)], "data[0] is of type test_payload.Number"),
        ([print], "data[0] is of type builtin_function_or_method"),
        ({"a": complex(1, 1)}, "data['a'] is of type complex"),
        (circle(), "contains itself, or is nested too deeply"),
    ],
)
def test_what_it_does_not_know_is_named_with_its_path(value: object, says: str) -> None:
    with pytest.raises(InvalidPayload) as refused:
        encode(value, 10**6)
    assert says in str(refused.value)


def test_what_is_too_large_is_refused_with_its_size() -> None:
    assert len(encode(b"x" * 998, 1001)) == 1001
    with pytest.raises(InvalidPayload, match="the result is 1,002 bytes, and at most 1,001 are taken"):
        encode(b"x" * 999, 1001, "the result")


class Halved(msgspec.Struct):
    whole: int
    half: int


class Unshown:
    def __repr__(self) -> str:
        raise RuntimeError


def test_what_is_refused_for_other_reasons_than_its_type_is_told_with_its_place() -> None:
    unset = Halved(1, 2)
    del unset.half
    for value, says in (
        ({"a": memoryview(b"abcd")[::2]}, "data['a'] can't be sent: memoryview: underlying buffer is not C-contiguous"),
        ([unset], "data[0] can't be sent: Struct field 'half' is unset"),
        ({Unshown(): 1}, "data (the key a Unshown that can't be shown) is of type"),
    ):
        with pytest.raises(InvalidPayload, match=re.escape(says)):
            encode(value, 1000)
