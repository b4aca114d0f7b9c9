"""`tempotask map`: a plain function over lines."""

from __future__ import annotations

import fcntl
import json
import os
import select
import termios
from array import array
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from cli.mapped import Maps, lines, rows_of
from pool.running import LONG, wait_until
from servers import OwnServer

from tempotask.cli.mapping.lines import AHEAD_BYTES


def test_each_line_is_answered_by_a_row(maps: Maps) -> None:
    status, out, err = maps.run("functions:shout", inputs=lines("a", "", "ä b"))
    assert status == 0
    assert rows_of(out) == [
        {"index": 0, "input": "a", "result": "A"},
        {"index": 1, "input": "", "result": ""},
        {"index": 2, "input": "ä b", "result": "Ä B"},
    ]
    assert "3 done in" in err


def test_it_runs_on_the_embedded_server_unless_told_otherwise(short_path: Path) -> None:
    maps = Maps(short_path, {})
    status, out, _ = maps.run("functions:shout", inputs=lines("a"))
    assert (status, rows_of(out)[0]["result"]) == (0, "A")
    assert (short_path / ".tempotask").is_dir()


def test_many_lines_are_answered_once_each(maps: Maps) -> None:
    number = 30_000
    status, out, _ = maps.run("functions:double", inputs=lines(*range(number)))
    assert status == 0
    assert rows_of(out) == [{"index": n, "input": str(n), "result": 2 * n} for n in range(number)]


def test_files_are_read_one_after_the_other_and_a_last_line_needs_no_end(maps: Maps) -> None:
    (maps.folder / "one").write_text("a\nb")
    (maps.folder / "two").write_text("c\n")
    status, out, _ = maps.run("functions:shout", "one", "-", "two", inputs="x\ny")
    assert status == 0
    assert [row["result"] for row in rows_of(out)] == ["A", "B", "X", "Y", "C"]


def test_a_script_is_imported_as_a_module_is(maps: Maps) -> None:
    status, out, _ = maps.run("functions.py:shout", inputs=lines("a"))
    assert (status, rows_of(out)[0]["result"]) == (0, "A")


def test_rows_come_as_inputs_are_finished_while_others_are_still_to_come(maps: Maps) -> None:
    started = maps.start("functions:wait")
    started.give("gate", "quick")
    assert started.row()["input"] == "quick"
    started.give("another")
    assert started.row()["input"] == "another"
    (maps.folder / "gate").touch()
    assert started.row()["input"] == "gate"
    assert started.end()[0] == 0


def test_ordered_rows_are_in_the_order_of_the_inputs(maps: Maps) -> None:
    started = maps.start("functions:wait", "--ordered")
    started.give("gate", *map(str, range(2000)))
    maps.noted(lambda notes: len(notes) > 100, "no other one was begun")
    (maps.folder / "gate").touch()
    status, out, _ = started.end()
    assert status == 0
    assert [json.loads(line)["index"] for line in out.splitlines()] == list(range(2001))


def test_bare_rows_are_the_result_alone(maps: Maps) -> None:
    assert maps.run("functions:double", "--bare", "--ordered", inputs=lines(1, 2, 3))[:2] == (0, "2\n4\n6\n")


def test_names_that_end_with_nul_may_hold_anything(maps: Maps) -> None:
    names = [b"a\nb", b"\xff\xfe", "ü".encode()]
    for name in names:
        Path(os.fsdecode(os.path.join(os.fsencode(maps.folder), name))).touch()
    status, out, _ = maps.run("functions:inside", "-0", inputs=b"\0".join([*names, b"missing"]))
    assert status == 0
    assert [(row["input"], row["result"]) for row in rows_of(out)] == [
        ("a\nb", True),
        ("\udcff\udcfe", True),
        ("ü", True),
        ("missing", False),
    ]


@pytest.mark.parametrize(
    ("function", "line", "result"),
    [("double", "21", 42), ("suffix", "a/b.png", ".png"), ("raw", "äö", 4), ("later", "a", "a later")],
)
def test_an_input_becomes_what_the_annotation_says(maps: Maps, function: str, line: str, result: object) -> None:
    status, out, err = maps.run(f"functions:{function}", inputs=lines(line))
    assert (status, out and rows_of(out)[0]) == (0, {"index": 0, "input": line, "result": result}), err


def test_functions_and_classes_of_the_standard_library_work_too(maps: Maps) -> None:
    assert maps.run("builtins:len", "--bare", inputs=lines("abc"))[:2] == (0, "3\n")
    assert maps.run("posixpath:basename", "--bare", inputs=lines("a/b"))[:2] == (0, '"b"\n')


def test_lines_of_json_become_the_annotated_type(maps: Maps) -> None:
    given = ['{"name":"a","size":2}', '{"name": 7}', "{", '{"name":"b"}']
    status, out, _ = maps.run("functions:name_of", "--jsonl", "--failed", "failed", inputs=lines(*given))
    assert status == 1
    assert rows_of(out) == [
        {"index": 0, "input": {"name": "a", "size": 2}, "result": "aa"},
        {"index": 3, "input": {"name": "b"}, "result": "b"},
    ]
    failed = sorted(maps.rows("failed"), key=lambda row: row["index"])
    assert [(row["index"], row["input"]) for row in failed] == [(1, {"name": 7}), (2, "{")]
    assert "Expected `str`, got `int` - at `$.name`" in failed[0]["error"]


def test_what_fails_is_told_with_its_reason_and_the_rest_is_done(maps: Maps) -> None:
    given = lines("a", "bad", "b", "exit")
    status, out, err = maps.run("functions:fail", "-o", "out", "--failed", "failed", inputs=given)
    assert (status, out) == (1, "")
    assert sorted(row["input"] for row in maps.rows("out")) == ["a", "b"]
    bad, left = sorted(maps.rows("failed"), key=lambda row: row["index"])
    assert (bad["index"], bad["input"], bad["error"]) == (1, "bad", "LookupError: no such thing")
    assert 'raise LookupError("no such thing")' in bad["traceback"]
    assert "tempotask" not in bad["traceback"]
    assert left["error"] == "SystemExit: enough"
    assert "2 done, 2 failed (see failed)" in err
    status, out, err = maps.run("functions:fail", inputs=given)
    assert (status, len(rows_of(out))) == (1, 2)
    assert 'tempotask map: input 1 "bad": LookupError: no such thing\n' in err


def test_with_json_what_is_told_beside_the_rows_is_an_object_a_line(maps: Maps) -> None:
    status, out, err = maps.run("functions:fail", "--json", inputs=lines("a", "bad", "b"))
    assert (status, len(rows_of(out))) == (1, 2)
    failed, *_, end = map(json.loads, err.splitlines())
    assert (failed["index"], failed["input"], failed["error"]) == (1, "bad", "LookupError: no such thing")
    assert (end["done"], end["failed"], end["before"], end["total"]) == (2, 1, 0, 3)
    assert end["seconds"] > 0
    assert 0 < end["per_second"] <= 3 / end["seconds"]


def test_its_namespace_begins_with_the_one_that_is_given(maps: Maps) -> None:
    started = maps.start("functions:shout", "--namespace", "nightly")
    started.give("a")
    assert started.row()["result"] == "A"
    with redis.Redis.from_url(maps.environment["TEMPOTASK_DB"]) as server:
        assert list(server.scan_iter("{nightly-map-*}:*"))
        assert started.end()[0] == 0
        assert not list(server.scan_iter("{nightly-map-*}:*"))
    status, _, err = maps.run("functions:shout", "--namespace", "night ly")
    assert (status, err.count("\n")) == (2, 1)


def test_a_line_that_does_not_fit_and_a_result_that_is_no_json_fail_alone(maps: Maps) -> None:
    status, out, err = maps.run("functions:double", inputs=lines("1", "x"))
    assert (status, len(rows_of(out))) == (1, 1)
    assert "does not fit: Expected `int`, got `str`" in err
    status, out, err = maps.run("functions:strange", inputs=lines("a", "strange"))
    assert (status, rows_of(out)) == (1, [{"index": 0, "input": "a", "result": {"1": "a"}}])
    assert "result is of type object, which can't be sent" in err


def test_an_input_that_kills_its_process_costs_only_itself(maps: Maps) -> None:
    given = [str(n) for n in range(3000)]
    given[1000] = given[2000] = "killer"
    status, out, err = maps.run("functions:die", "--failed", "failed", inputs=lines(*given))
    assert status == 1
    assert [row["index"] for row in rows_of(out)] == [n for n in range(3000) if n not in (1000, 2000)]
    assert sorted(row["index"] for row in maps.rows("failed")) == [1000, 2000]
    assert all(row["error"].startswith("WorkerCrashed: ") for row in maps.rows("failed"))
    assert "WARNING" not in err


def test_a_child_that_the_function_forks_answers_nothing(maps: Maps) -> None:
    given = [str(n) for n in range(1000)]
    given[700], given[800] = "fork", "fork and raise"
    status, out, _ = maps.run("functions:fork", inputs=lines(*given))
    assert (status, [row["result"] for row in rows_of(out)]) == (0, given)


def test_a_try_that_takes_too_long_fails(maps: Maps) -> None:
    status, out, err = maps.run("functions:hang", "--timeout", "0.3", inputs=lines("a", "long", "b"))
    assert (status, [row["input"] for row in rows_of(out)]) == (1, ["a", "b"])
    assert 'input 1 "long": JobTimeout' in err


def test_a_failed_input_is_tried_as_often_as_is_said(maps: Maps) -> None:
    status, out, _ = maps.run("functions:second", "--attempts", "3", "-j", "1", inputs=lines("a", "b"))
    assert (status, len(rows_of(out))) == (0, 2)
    assert sorted(maps.notes()) == ["a", "a", "b", "b"]


def test_what_functions_print_is_not_among_the_rows(maps: Maps) -> None:
    status, out, err = maps.run("functions:talk", inputs=lines("a"))
    assert (status, rows_of(out)) == (0, [{"index": 0, "input": "a", "result": "a"}])
    assert "printed a" in err
    assert "written" in err


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


def test_nothing_is_left_on_the_server(maps: Maps, server_url: str) -> None:
    with redis.Redis.from_url(server_url) as client:

        def held() -> set[bytes]:
            return {key.partition(b"}")[0] for key in client.scan_iter("{map-*", count=10_000)}

        before = held()
        assert maps.run("functions:fail", "-o", "out", inputs=lines("a", "bad"))[0] == 1
        assert maps.run("functions:fail", inputs=lines("a", "bad"))[0] == 1
        assert held() <= before


def test_what_a_killed_map_to_the_standard_output_has_left_goes_with_the_next(maps: Maps, server_url: str) -> None:
    with redis.Redis.from_url(server_url) as client:

        def held() -> set[bytes]:
            return {key.partition(b"}")[0] for key in client.scan_iter("{map-*", count=10_000)}

        before = held()
        started = maps.start("functions:wait")
        started.give("gate", "a", "b")
        maps.noted(lambda notes: "+gate" in notes, "nothing was begun")
        (left,) = held() - before
        started.kill()
        assert left in held()
        assert maps.run("functions:shout", inputs=lines("a"))[0] == 0
        assert left not in held()


def test_two_maps_in_one_folder_do_not_mix(maps: Maps) -> None:
    one, two = maps.start("functions:shout"), maps.start("functions:double")
    one.give("a")
    two.give("1")
    assert (one.row()["result"], two.row()["result"]) == ("A", 2)
    assert (one.end()[:2], two.end()[:2]) == ((0, ""), (0, ""))


def test_who_reads_the_output_may_leave(maps: Maps) -> None:
    started = maps.start("functions:shout")
    started.give("a")
    started.row()
    assert started.process.stdout is not None
    started.process.stdout.close()
    started.process.stdout = None
    started.give("b")
    assert started.process.wait(60) == 0
    assert started.process.stderr is not None
    assert started.process.stderr.read() == b""
    started.process.stderr.close()
    started.inputs.close()


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
        (["functions:shout", "-o", "no/where"], "no/where can't be written"),
        (["functions:shout", "-o", "functions.py"], "functions.py is not empty: --resume goes on with it"),
        (["functions:shout", "--failed", "functions.py"], "functions.py is not empty"),
        (["functions:shout", "-o", "out", "--failed", "./out"], "same file"),
        (["functions:shout", "empty", "-o", "empty"], "empty is read and written"),
        (["functions:shout", "--in-flight", "0"], "0 is not in the range"),
        (["functions:shout", "--timeout", "nan"], "--timeout=nan"),
        (["--shell", " "], "there is no function"),
        (["--shell", "cat", "--jsonl"], "--jsonl is for functions"),
        (["functions:shout", "--order"], "did you mean --ordered?"),
    ],
)
def test_bad_use_ends_with_2_and_says_what_to_type(maps: Maps, typed: list[str], answer: str) -> None:
    (maps.folder / "empty").touch()
    status, out, err = maps.run(*typed, inputs=lines("a"))
    assert (status, out) == (2, "")
    assert answer in err
    assert err.count("\n") <= 2


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


def test_json_of_several_lines_stands_in_one_row(maps: Maps) -> None:
    command, inputs = ("functions:shape", "--jsonl", "-0", "-o", "out"), '{"a":\n [1,\n2]}\0\n3\0'
    status, _, err = maps.run(*command, inputs=inputs)
    assert (status, err.count("\n")) == (0, 1)
    rows = sorted((maps.folder / "out").read_text().splitlines())
    assert rows == ['{"index":0,"input":{"a":[1,2]},"result":"dict"}', '{"index":1,"input":3,"result":"int"}']
    (maps.folder / "out").write_text(rows[0] + "\n")
    status, _, err = maps.run(
        "functions:shape", "--jsonl", "-0", "-o", "out", "--resume", inputs='{"a":\n [1,\n2]}\0\n3'
    )
    assert (status, sorted((maps.folder / "out").read_text().splitlines())) == (0, rows), err


def test_lines_that_turn_out_to_take_long_do_not_wait_behind_each_other(maps: Maps) -> None:
    # Not to a pipe: nobody reads it yet, and what can't be written holds up what is to be sent.
    started = maps.start("functions:wait", "-j", "2", "-o", "out")
    started.give(*map(str, range(5000)), "gate", *map(str, range(5000, 6000)))
    wait_until(lambda: "+5999" in maps.notes(), "what is behind the long one was not begun")
    (maps.folder / "gate").touch()
    status, _, _ = started.end()
    assert (status, len(rows_of((maps.folder / "out").read_text()))) == (0, 6001)
