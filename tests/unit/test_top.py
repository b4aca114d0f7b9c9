"""The parts of `tempotask top` that need no server: keys, tables, numbers as people read them."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from tempotask.top.keys import Keys
from tempotask.top.screen import _shared
from tempotask.top.state import Failure, Queue, State, Worker
from tempotask.top.tables import duration, per_second, size, tables


@pytest.mark.parametrize(
    ("reads", "keys"),
    [
        ([b"jkq"], ["down", "up", "q"]),
        ([b"\x1b[A\x1b[B\t"], ["up", "down", "tab"]),
        ([b"\x1bOA"], ["up"]),
        ([b"\x1b[", b"A"], ["up"]),
        ([b"p\x1b", b"[B"], ["p", "down"]),
        ([b"\x1b[5~q"], ["\x1b[5~", "q"]),
        ([b"\x1b"], ["escape"]),
        ([b"\xff\xc3"], ["\ufffd", "\ufffd"]),
    ],
)
def test_keys_are_known_in_whatever_pieces_they_come(reads: list[bytes], keys: list[str]) -> None:
    pressed = Keys().pressed
    assert [key for read in reads for key in pressed(read)] == keys


def state(name: str = "q", id: str = "a", error: str = "it broke") -> State:
    return State(
        at=1e9,
        queues=[Queue(name, False, 1234, 0, 1, 0.5, 3.0, 10, 2)],
        workers=[Worker("s.1", 1, "busy", 7, 99.6, 1 << 25, 3.0, 3, 10, id, name, "task", supervisor="s", host="host")],
        failures=[Failure(id, name, "task", 1e9 - 5, 1, error, "s.1")],
        supervisors=1,
        asked=[],
        silent=[],
    )


@pytest.mark.parametrize("width", [0, 1, 5, 20, 40, 80, 200])
@pytest.mark.parametrize("text", ["plain", "\u4e2d\u6587" * 30, "a\x1b[31m\x07\nb", "x" * 300])
def test_no_line_is_wider_than_the_screen_or_does_anything_to_it(width: int, text: str) -> None:
    for table in tables(state(name=text[:100], id=text, error=text)):
        for line in table.drawn(width, 10, None):
            assert cell_len(line.plain) <= width
            assert "\x1b" not in line.plain
            assert "\n" not in line.plain


def test_of_a_table_that_is_too_long_the_lines_around_the_selected_one_are_shown() -> None:
    told = state()
    told.queues = [Queue(f"q{n:02}", False, 1, 0, 0, None, None, 0, 0) for n in range(50)]
    table = tables(told)[0]
    head, *lines = table.drawn(80, 5, "q30")
    assert head.plain.startswith("queue 29-33 of 50")
    assert [line.plain.split()[0] for line in lines] == ["q28", "q29", "q30", "q31", "q32"]
    assert [line.plain.split()[0] for line in table.drawn(80, 5, None)[1:]] == ["q00", "q01", "q02", "q03", "q04"]
    assert [line.plain.split()[0] for line in table.drawn(80, 5, "q49")[1:]] == ["q45", "q46", "q47", "q48", "q49"]


def test_what_matters_least_is_left_out_of_a_narrow_screen() -> None:
    wide, narrow = (tables(state())[1].drawn(width, 5, None)[0].plain.split() for width in (120, 45))
    assert set(narrow) < set(wide)
    assert {"worker", "state", "for", "job"} <= set(narrow)


@pytest.mark.parametrize(
    ("needs", "room", "rooms"),
    [([2, 3, 4], 20, [2, 3, 4]), ([50, 2, 50], 12, [5, 2, 5]), ([9, 9, 9], 9, [3, 3, 3]), ([5, 5], 0, [0, 0])],
)
def test_the_tables_share_the_screen(needs: list[int], room: int, rooms: list[int]) -> None:
    assert _shared(needs, room) == rooms


def test_numbers_are_short() -> None:
    assert [per_second(rate) for rate in (None, 0.0, 0.25, 9.96, 12345.6)] == ["", "0/s", "0.2/s", "10.0/s", "12,346/s"]
    durations = [duration(seconds) for seconds in (None, 0.04, 59.4, 61, 3599, 3661, 500_000)]
    assert durations == ["", "0.0 s", "59 s", "1:01 m", "59:59 m", "1:01 h", "6 d"]
    assert [size(bytes) for bytes in (0, 45 << 20, 3 << 29)] == ["0 MiB", "45 MiB", "1.5 GiB"]


def test_a_job_that_failed_twice_has_two_lines() -> None:
    told = state()
    told.failures += [Failure("a", "q", "task", 1e9 - 3, 1, "again", "s.1")]
    assert len(tables(told)[2].rows) == 2
