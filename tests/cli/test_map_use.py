"""What `tempotask map` says when it can't be done as it was typed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import redis
from cli.mapped import Maps, lines
from pool.running import wait_until
from servers import OwnServer


@pytest.mark.parametrize(
    ("function", "answer"),
    [
        ("functions", '"functions" names no function'),
        ("functionz:shout", "did you mean functions?"),
        ("functions:shut", "did you mean shout?"),
        ("functions:number", "is of type int and can't be called"),
        ("functions:two", "takes (first, second); give a function that takes one input"),
        ("functions:numbers", "is a generator"),
        ("functions:name_of", "takes Row, which a line of text can't be; give lines of JSON, and --jsonl"),
        ("nowhere.py:f", 'no file "nowhere.py"'),
    ],
)
def test_a_function_that_cannot_be_had_ends_it_with_one_line(maps: Maps, function: str, answer: str) -> None:
    status, out, err = maps.run(function, "-o", "out", inputs=lines("a"))
    assert (status, out) == (2, "")
    assert answer in err
    assert err.startswith("tempotask: ")
    assert err.count("\n") == 1


def test_a_module_that_fails_at_import_brings_its_traceback(maps: Maps) -> None:
    (maps.folder / "broken.py").write_text("def f(line):\n    pass\n\nx = 1 / 0\n")
    status, _, err = maps.run("broken:f", inputs=lines("a"))
    assert status == 2
    assert "x = 1 / 0" in err
    assert "ZeroDivisionError" in err.splitlines()[-1]


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ([], "there is no function"),
        (["functions:shout", "--resume"], "-o FILE"),
        (["functions:shout", "--resume", "--bare", "-o", "out"], "leave one out"),
        (["functions:shout", "nowhere"], "nowhere can't be read: No such file"),
        (["functions:shout", "."], ". is a folder"),
        (["functions:shout", "picture"], "picture holds no lines of text; to give names of files"),
        (["functions:shout", "names"], "names holds inputs that end with NUL, as of find -print0; give -0"),
        (["functions:shout", "many"], "give -0"),
        (["functions:shout", "-0", "text"], "text holds lines, and no NUL; leave out -0"),
        (["functions:shout", "-o", "no/where"], "no/where can't be written"),
        (["functions:shout", "-o", "functions.py"], "functions.py is not empty: --resume goes on with it"),
        (["functions:shout", "--failed", "functions.py"], "functions.py is not empty"),
        (["functions:shout", "-o", "out", "--failed", "./out"], "same file"),
        (["functions:shout", "empty", "-o", "empty"], "empty is read and written"),
        (["functions:shout", "--in-flight", "0"], "0 is not in the range"),
        (["functions:shout", "--timeout", "nan"], "--timeout=nan"),
        (["--shell", " "], "there is no function"),
        (["--shell", os.fsdecode(b"\xff {}")], "it is no UTF-8"),
        (["functions:shout", "--db", os.fsdecode(b"redis://\xff")], "it is no UTF-8"),
        (["--shell", "cat", "--jsonl"], "--jsonl is for functions"),
        (["functions:shout", "--order"], "did you mean --ordered?"),
    ],
)
def test_bad_use_ends_with_2_and_says_what_to_type(maps: Maps, typed: list[str], answer: str) -> None:
    (maps.folder / "empty").touch()
    (maps.folder / "names").write_bytes(b"a.png\0b c.png\0")
    (maps.folder / "many").write_bytes(b"".join(b"dir/file%07d.txt\0" % n for n in range(10_000)))
    (maps.folder / "text").write_bytes(b"a.png\nb c.png\n")
    (maps.folder / "picture").write_bytes(b"\x89PNG\n\0\0")
    status, out, err = maps.run(*typed, inputs=lines("a"))
    assert (status, out) == (2, "")
    assert answer in err
    assert err.count("\n") <= 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_command_that_ends_while_it_starts_leaves_no_pool_and_no_traceback(maps: Maps, number: int) -> None:
    started = maps.start("functions:shout")
    command = psutil.Process(started.process.pid)
    wait_until(command.children, "no pool was started")
    started.process.send_signal(number)
    # The pool has its end of these pipes too.
    status, out, err = started.end()
    assert (status, out, err.strip()) == (130 if number == signal.SIGINT else -number, "", "")


DROPPED = """
import os, signal, sys

def look(frame, event, arg):
    code = frame.f_code
    if code.co_name == "cb" and "importlib._bootstrap" in code.co_filename and os.environ["SEEN"] in sys.modules:
        sys.setprofile(None)
        os.kill(os.getpid(), signal.SIGINT)

if "tempotask.cli" in sys.orig_argv:
    sys.setprofile(look)
"""


@pytest.mark.parametrize("module", ["tempotask.launch", "tempotask.manager"])
def test_a_ctrl_c_is_heard_that_comes_where_python_drops_what_is_raised(maps: Maps, module: str) -> None:
    (maps.folder / "sitecustomize.py").write_text(DROPPED)
    maps.environment |= {"PYTHONPATH": str(maps.folder), "SEEN": module}
    assert maps.run("functions:shout", inputs=lines("a"))[0] == 130


def test_a_server_out_of_reach_ends_it_with_one_line(maps: Maps) -> None:
    status, _, err = maps.run("functions:shout", "--db", f"unix://{maps.folder}/none.sock", inputs=lines("a"))
    assert (status, err.count("\n")) == (2, 1)
    assert "none.sock" in err


def test_a_server_that_refuses_on_the_way_is_what_the_one_line_is_about(
    tmp_path: Path, start_server: Callable[..., OwnServer]
) -> None:
    server = start_server()
    maps = Maps(tmp_path, {"TEMPOTASK_DB": server.url})
    started = maps.start("functions:shout", "-o", "out")
    started.give("a")
    wait_until(lambda: (maps.folder / "out").exists() and maps.rows("out"), "no row came")
    with redis.Redis.from_url(server.url) as client:
        client.execute_command("ACL SETUSER default -evalsha -eval")
    started.give("b")
    status, _, err = started.end()
    assert status == 2
    assert "our user may not do all that is needed" in err
    assert "can't be written" not in err
