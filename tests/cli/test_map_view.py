"""What people see while a map runs."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import struct
import termios
import time
from fcntl import ioctl

import pytest
from cli.mapped import Maps, lines
from cli.typed import PROGRAM
from pool.running import LONG
from top.glass import Terminal

from tempotask.cli.mapping.tally import Tally, clock, pace
from tempotask.cli.mapping.view import PlainLines, told


def test_a_terminal_shows_done_failed_pace_time_left_and_how_busy_each_worker_is(maps: Maps) -> None:
    (maps.folder / "inputs").write_text(lines("bad", *range(3000), "gate"))
    text = (maps.folder / "functions.py").read_text()
    busy = """
def work(line: str) -> str:
    end = time.process_time() + 0.002
    while time.process_time() < end:
        pass
    return wait(fail(line))
"""
    (maps.folder / "functions.py").write_text(text + busy)
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 120, 0, 0))
    started = maps.start("functions:work", "inputs", "-o", "out", stderr=theirs)
    os.close(theirs)
    seen, end = "", time.monotonic() + LONG
    counts = r"\d done +1 failed +[\d.,]+/s .*so far .*left"
    wanted = re.compile(rf"functions:work.*[1-9]\d*%.*{counts}.*workers +[■·]+ +\d+%", re.DOTALL)
    plain = ""
    while not wanted.search(plain):
        assert time.monotonic() < end, plain
        seen += os.read(ours, 65536).decode(errors="replace")
        plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen)
    assert 'tempotask map: input 0 "bad": LookupError: no such thing' in plain
    started.process.send_signal(signal.SIGINT)
    while "stopping: what runs is finished" not in seen:
        seen += os.read(ours, 65536).decode(errors="replace")
    (maps.folder / "gate").touch()
    rest = ""
    while "interrupted: " not in rest:
        rest += os.read(ours, 65536).decode(errors="replace")
    assert started.end()[0] == 130
    os.close(ours)


def test_rows_that_go_to_the_terminal_stay_on_it_while_the_view_is_drawn_below_them(maps: Maps) -> None:
    (maps.folder / "inputs").write_text(lines(*range(8)))
    with (maps.folder / "functions.py").open("a") as functions:
        functions.write("\ndef nap(number: int) -> int:\n    time.sleep(0.3)\n    return number\n")
    program = [*PROGRAM, "map", "functions:nap", "inputs", "--concurrency", "1"]
    terminal = Terminal(program, folder=maps.folder, **maps.environment)
    try:
        terminal.wait_for('"index":0', "workers")
        assert terminal.end() == 0
    finally:
        terminal.close()
    *rows, summary = terminal.glass.text.strip().splitlines()
    assert [json.loads(row) for row in rows] == [{"index": n, "input": str(n), "result": n} for n in range(8)]
    assert "8 done in" in summary


def test_where_there_is_no_terminal_a_line_comes_every_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    tally = Tally()
    view = PlainLines(tally)
    assert view.every == 10.0
    view.tick()
    assert capsys.readouterr().err == ""
    tally.done, tally.failed, tally.total = 1234, 1, 5000
    view._next = time.monotonic()
    view.tick()
    view.tick()
    assert re.fullmatch(r"tempotask map: 1,234 done, 1 failed, [\d,.e+]+/s, \d+:\d\d left\n", capsys.readouterr().err)


def test_quiet_says_nothing_but_what_failed(maps: Maps) -> None:
    assert maps.run("functions:fail", "--quiet", inputs=lines("a")) == (
        0, '{"index":0,"input":"a","result":"a"}\n', "",
    )  # fmt: skip
    status, _, err = maps.run("functions:fail", "--quiet", inputs=lines("bad"))
    assert (status, err) == (1, 'tempotask map: input 0 "bad": LookupError: no such thing\n')


def test_the_time_left_is_told_where_the_number_of_inputs_is_known() -> None:
    tally = Tally()
    tally.done = 500
    time.sleep(0.01)
    tally.mark()
    assert "left" not in told(tally)
    assert tally.part is None
    tally.total, tally.before = 1000, 250
    assert tally.left == pytest.approx(250 / tally.pace)
    assert tally.part == 0.75
    assert told(tally).startswith("250 answered before, 500 done, 0 failed, ")


@pytest.mark.parametrize(("seconds", "shown"), [(7, "0:07"), (750, "12:30"), (3750, "1:02:30"), (59.6, "1:00")])
def test_times_are_shown_as_a_clock_does(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown


@pytest.mark.parametrize(("number", "shown"), [(12345.6, "12,346/s"), (0.5, "0.5/s"), (0, "0/s")])
def test_a_pace_is_short(number: float, shown: str) -> None:
    assert pace(number) == shown


def test_a_failed_input_is_one_line_that_a_terminal_cannot_obey(maps: Maps) -> None:
    command = "printf 'a\\033[31m\\nb\\033[0m' >&2; false {}"
    status, _, err = maps.run("--shell", command, "--quiet", inputs="x\x1b[2J\n")
    assert status == 1
    assert err.count("\n") == 1
    assert "\x1b" not in err
