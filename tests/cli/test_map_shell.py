"""`tempotask map --shell`: commands, in the manner of GNU parallel."""

from __future__ import annotations

import os

import psutil
import pytest
from cli.mapped import Maps, lines, rows_of
from pool.running import wait_until

from tempotask.cli.mapping.shell import filled


@pytest.mark.parametrize(
    ("template", "value", "command"),
    [
        ("cat {}", "a.txt", "cat a.txt"),
        ("convert {} {.}.png", "in/a b.jpg", "convert 'in/a b.jpg' 'in/a b'.png"),
        ("{/} {//} {/.}", "x/y.d/a.tar.gz", "a.tar.gz x/y.d a.tar"),
        ("{//} {.}", "plain", ". plain"),
        ("{.}", "x.d/plain", "x.d/plain"),
        ("{.} {//}", "a.", "a ."),
        ("{.} {/} {//}", "a/b/", "a/b/ '' a"),
        ("echo {#} {}", "$(rm -rf /)", "echo 5 '$(rm -rf /)'"),
        ("echo {} {}", "it's", "echo 'it'\"'\"'s' 'it'\"'\"'s'"),
        ("awk '{print}' {}", "a", "awk '{print}' a"),
    ],
)
def test_placeholders_are_filled_and_quoted(template: str, value: str, command: str) -> None:
    assert filled(template, value, 4) == command


def test_rows_hold_exit_status_and_what_was_printed(maps: Maps) -> None:
    status, out, _ = maps.run("--shell", "echo {#}: {}; echo warned >&2", inputs=lines("a b", "$HOME"))
    assert status == 0
    assert rows_of(out) == [
        {"index": 0, "input": "a b", "exit": 0, "stdout": "1: a b\n", "stderr": "warned\n"},
        {"index": 1, "input": "$HOME", "exit": 0, "stdout": "2: $HOME\n", "stderr": "warned\n"},
    ]


def test_without_a_placeholder_the_input_comes_last(maps: Maps) -> None:
    (maps.folder / "a file").write_text("its content\n")
    status, out, _ = maps.run("--shell", "cat", "-0", inputs="a file")
    assert (status, rows_of(out)[0]["stdout"]) == (0, "its content\n")


def test_all_arguments_are_files(maps: Maps) -> None:
    (maps.folder / "inputs").write_text(lines("a"))
    status, out, _ = maps.run("--shell", "echo {}", "inputs", "inputs")
    assert (status, [row["stdout"] for row in rows_of(out)]) == (0, ["a\n", "a\n"])


def test_bare_output_is_what_the_commands_print(maps: Maps) -> None:
    assert maps.run("--shell", "printf '%s-' {}", "--bare", "--ordered", inputs=lines("a", "b"))[:2] == (0, "a-b-")


def test_a_status_other_than_0_is_a_failure_with_what_was_printed(maps: Maps) -> None:
    command = "echo out; echo first >&2; echo last >&2; exit {}"
    status, out, err = maps.run("--shell", command, "--failed", "failed", inputs=lines(0, 3))
    assert (status, [row["exit"] for row in rows_of(out)]) == (1, [0])
    assert maps.rows("failed") == [
        {
            "index": 1,
            "input": "3",
            "error": "exit status 3: last",
            "exit": 3,
            "stdout": "out\n",
            "stderr": "first\nlast\n",
        }
    ]
    status, _, err = maps.run("--shell", command, inputs=lines(3))
    assert 'tempotask map: input 0 "3": exit status 3: last\n' in err


def test_a_command_gets_no_inputs_of_others(maps: Maps) -> None:
    status, out, _ = maps.run("--shell", "cat; echo {}", inputs=lines("a", "b"))
    assert (status, [row["stdout"] for row in rows_of(out)]) == (0, ["a\n", "b\n"])


def test_a_command_that_takes_too_long_is_killed_with_what_it_has_started(maps: Maps) -> None:
    command = "sleep 600 & echo $! >> pids; wait; true {}"
    status, _, err = maps.run("--shell", command, "--timeout", "0.5", inputs=lines("a"))
    assert status == 1
    assert "JobTimeout" in err
    wait_until(lambda: not living(maps), "it lives on")


def test_commands_die_with_the_map(maps: Maps) -> None:
    started = maps.start("--shell", "echo $$ >> pids; sleep 600; true {}")
    started.give("a", "b")
    wait_until(lambda: len(living(maps)) == 2, "they were not begun")
    started.kill()
    wait_until(lambda: not living(maps), "they live on")


def living(maps: Maps) -> list[int]:
    """The commands that have noted their process ids, and live."""
    path = maps.folder / "pids"
    pids = [int(line) for line in path.read_text().split()] if path.exists() else []
    return [pid for pid in pids if psutil.pid_exists(pid) and os.path.exists(f"/proc/{pid}/exe")]


def test_a_map_of_commands_goes_on_too(maps: Maps) -> None:
    assert maps.run("--shell", "echo {}", "-o", "out", inputs=lines("a"))[0] == 0
    assert maps.run("--shell", "echo {}", "-o", "out", "--resume", inputs=lines("a", "b"))[0] == 0
    assert [row["stdout"] for row in maps.rows("out")] == ["a\n", "b\n"]
