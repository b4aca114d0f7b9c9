"""What a job says between two flushes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import msgspec

from tempotask import Context, Job
from tempotask.children import Children
from tempotask.pool.saying import Saying
from tempotask.store.records import encode

ONE = cast(Job[Any], object())


def saying() -> Saying:
    return Saying(cast(Context[Any], SimpleNamespace(_job=ONE, _children=Children())))


def log(saying: Saying, *messages: object) -> None:
    for message in messages:
        saying.log(ONE, encode(message))


def messages(lines: list[msgspec.Raw] | None) -> list[object]:
    return [msgspec.msgpack.decode(line)[1] for line in lines or ()]


def test_of_more_lines_than_are_kept_the_newest_are() -> None:
    said = saying()
    log(said, *range(3500))
    lines, _ = said.take()
    assert messages(lines) == list(range(2500, 3500))
    assert said.take() == (None, None)


def test_of_more_bytes_than_are_kept_the_newest_are() -> None:
    said = saying()
    log(said, *("x" * 60_000 for _ in range(200)), "last")
    lines, _ = said.take()
    assert 1 << 20 <= sum(map(len, messages(lines))) <= 2 << 20  # type: ignore[arg-type]
    assert messages(lines)[-1] == "last"


def test_what_is_said_while_a_flush_is_on_its_way_comes_with_the_next_one() -> None:
    for more in (5, 500, 1500, 2500):
        said = saying()
        log(said, *range(900))
        seen = said.look()
        assert seen is not None
        assert messages(seen.lines) == list(range(900))
        log(said, *range(900, 900 + more))
        said.told(seen)
        lines, _ = said.take()
        kept = messages(lines)
        assert kept == list(range(900, 900 + more))[-len(kept) :]
        assert len(kept) == min(more, 1000)
