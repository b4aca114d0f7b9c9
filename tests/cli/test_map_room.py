"""`tempotask map` and how much it holds: of inputs that come, of rows that wait, of large ones."""

from __future__ import annotations

import fcntl
import os
import select
import termios
from array import array
from pathlib import Path

from cli.mapped import Maps, lines, rows_of
from pool.running import LONG, wait_until

from tempotask.cli.mapping.lines import AHEAD_BYTES


def test_no_more_is_read_than_there_is_room_for(maps: Maps) -> None:
    started = maps.start("functions:wait", "--in-flight", "4")
    os.set_blocking(started.inputs.fileno(), False)
    part, given = memoryview(b"gate" + b"\n" + b"x" * 60_000 + b"\n"), 0

    def full() -> bool:
        nonlocal given
        while select.select([], [started.inputs], [], 0.5)[1]:
            given += os.write(started.inputs.fileno(), part)
        return True

    maps.noted(lambda notes: True, "never")
    assert full()
    assert given < AHEAD_BYTES + 2 * 2**20
    (maps.folder / "gate").touch()
    os.set_blocking(started.inputs.fileno(), True)
    assert started.end()[0] == 0


def test_an_input_that_is_too_large_fails_alone(maps: Maps) -> None:
    status, out, err = maps.run("functions:raw", inputs=b"a\n" + b"x" * (9 * 2**20) + b"\nb\n")
    assert (status, [row["index"] for row in rows_of(out)]) == (1, [0, 2])
    assert "at most 8,388,608 bytes are taken" in err


def test_an_input_that_has_no_end_takes_no_memory_for_ever(maps: Maps) -> None:
    started = maps.start("functions:raw", "-o", "out")
    for _ in range(200):
        started.inputs.write(b"x" * 2**20)
    started.inputs.write(b"\nb\n")
    started.inputs.flush()
    wait_until(lambda: maps.rows("out"), "what is behind it was not answered")
    told = Path(f"/proc/{started.process.pid}/status").read_text()
    status, _, err = started.end()
    assert (status, [row["index"] for row in maps.rows("out")]) == (1, [1]), err
    assert int(told.partition("VmHWM:")[2].split()[0]) < 150 * 1024


def test_an_output_that_does_not_block_gets_all_rows(maps: Maps) -> None:
    read, write = os.pipe()
    os.set_blocking(write, False)
    started = maps.start("functions:large", stdout=write)
    os.close(write)
    started.give(*["50000"] * 20)
    wait_until(lambda: full(read), "the pipe was not filled")
    started.inputs.close()
    with open(read, "rb") as output:
        assert len(output.read().splitlines()) == 20
    assert started.process.wait(LONG) == 0


def full(pipe: int) -> bool:
    """Whether a pipe holds about as much as it can."""
    there = array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, there)
    return there[0] > 60_000


def test_large_results_of_quick_inputs_come_all(maps: Maps) -> None:
    sizes = [3] * 300 + [300_000] * 120
    status, _, err = maps.run("functions:large", "-o", "out", inputs=lines(*sizes))
    assert status == 0, err
    assert [len(row["result"]) for row in sorted(maps.rows("out"), key=lambda row: row["index"])] == sizes


def test_a_result_that_is_too_large_fails_alone(maps: Maps) -> None:
    sizes = [*range(300), 9 * 2**20, *range(300)]
    status, out, err = maps.run("functions:large", inputs=lines(*sizes))
    assert (status, [row["index"] for row in rows_of(out)]) == (1, [*range(300), *range(301, 601)])
    assert "at most 8,388,608 are taken; write it to a file" in err


def test_rows_that_are_held_back_for_the_order_hold_back_inputs_too(maps: Maps) -> None:
    status, _, err = maps.run("functions:patient", "--ordered", "-o", "out", inputs=lines("first", *range(3000)))
    assert status == 0, err
    assert [row["index"] for row in maps.rows("out")] == [*range(3001)]
    assert int((maps.folder / "seen").read_text()) < 1500
