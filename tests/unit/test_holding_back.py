"""What a try adds with its success: collected, bounded, and let go with the try."""

from __future__ import annotations

import pytest
from msgspec import Raw

from tempotask import InvalidOptions, InvalidPayload
from tempotask.children import Children
from tempotask.store.addition import NewJob
from tempotask.store.records import Record, decode_record


def jobs(number: int, payload: bytes = b"\xc0", first: int = 0) -> list[NewJob]:
    return [
        NewJob(Record("", f"child-{n}", "q", "0", "child", 0.0, 0, Raw(payload)), large=len(payload) > 4096)
        for n in range(first, first + number)
    ]


def test_what_is_held_back_comes_with_success_in_the_order_in_which_it_was_asked_for() -> None:
    children = Children()
    children.note(["now"])
    children.hold(jobs(2))
    children.hold(jobs(1, b"\xa1x", first=2))
    ids, body = children.take(completed=True)
    assert ids == ["now", "child-0", "child-1", "child-2"]
    assert body is not None
    assert body[:4] == ["group", "q", "0", 3]
    assert [decode_record(record).id for record in body[4:]] == ["child-0", "child-1", "child-2"]  # type: ignore[arg-type]


def test_without_success_only_what_was_added_at_once_is_told() -> None:
    children = Children()
    children.hold(jobs(2))
    children.note(["now"])
    assert children.take(completed=False) == (["now"], None)


@pytest.mark.parametrize("completed", [True, False])
def test_the_next_job_begins_without_children(completed: bool) -> None:
    children = Children()
    ids = children.ids
    children.hold(jobs(2))
    assert ids
    children.take(completed=completed)
    assert not ids
    assert children.ids is ids
    assert children.take(completed=True) == (None, None)


def test_a_thousand_can_be_held_and_the_ids_of_a_thousand_are_told() -> None:
    children = Children()
    children.note(f"now-{n}" for n in range(60))
    children.hold(jobs(999))
    with pytest.raises(InvalidOptions, match="1,000 children"):
        children.hold(jobs(2, first=999))
    children.hold(jobs(1, first=999))
    ids, body = children.take(completed=True)
    assert ids is not None
    assert body is not None
    assert len(ids) == 1000
    assert len(body) == 1004


def test_no_more_is_held_than_64_mebibytes() -> None:
    children = Children()
    large = bytes(20 * 2**20)
    children.hold(jobs(3, large))
    with pytest.raises(InvalidPayload, match="a job's can have"):
        children.hold(jobs(1, large, first=3))
    ids, _ = children.take(completed=True)
    assert ids == ["child-0", "child-1", "child-2"]
