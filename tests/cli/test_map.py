"""`tempotask map`: a plain function over lines."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import redis
from cli.mapped import Maps, lines, rows_of
from pool.running import wait_until


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


def test_a_folder_whose_name_is_no_text_is_as_good_as_any(short_path: Path) -> None:
    folder = short_path / os.fsdecode(b"\xff")
    folder.mkdir()
    status, out, _ = Maps(folder, {}).run("functions:shout", inputs=lines("a"))
    assert (status, rows_of(out)[0]["result"]) == (0, "A")


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


def test_numbers_may_be_written_as_python_reads_them(maps: Maps) -> None:
    status, out, _ = maps.run("functions:double", "--ordered", "-o", "-", inputs=lines("007", "+3", "1e2"))
    assert (status, [row["result"] for row in rows_of(out)]) == (0, [14, 6, 200])


def test_a_line_that_does_not_fit_and_a_result_that_is_no_json_fail_alone(maps: Maps) -> None:
    status, out, err = maps.run("functions:double", inputs=lines("1", "x"))
    assert (status, len(rows_of(out))) == (1, 1)
    assert "does not fit: it is no int" in err
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


@pytest.mark.parametrize("output", ["a pipe that nobody reads", "/dev/full"])
def test_nothing_is_left_on_the_server_by_a_map_whose_rows_nobody_takes(
    maps: Maps, server_url: str, output: str
) -> None:
    with redis.Redis.from_url(server_url) as client:
        before = set(client.scan_iter("{map-*", count=10_000))
        if output == "/dev/full":
            with open(output, "wb") as full:
                started = maps.start("functions:shout", stdout=full)
        else:
            started = maps.start("functions:shout")
            assert started.process.stdout is not None
            started.process.stdout.close()
            started.process.stdout = None
        started.give(*map(str, range(1000)))
        status = started.end()[0]
        assert status == (2 if output == "/dev/full" else 0)
        assert set(client.scan_iter("{map-*", count=10_000)) <= before


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


def test_arrays_numbers_of_numpy_and_paths_stand_in_rows_as_json_has_them(maps: Maps) -> None:
    (maps.folder / "numeric.py").write_text(
        "from pathlib import Path\nimport numpy\n"
        "def f(n: int) -> object:\n"
        "    return [numpy.arange(n), numpy.float64(n), {'path': Path('a', 'b'), 'flag': numpy.bool_(n > 2)}]\n"
        "def odd(n: int) -> object:\n    return numpy.longdouble(n)\n"
    )
    status, out, _ = maps.run("numeric:f", inputs=lines(3))
    assert (status, rows_of(out)[0]["result"]) == (0, [[0, 1, 2], 3.0, {"path": "a/b", "flag": True}])
    status, out, err = maps.run("numeric:odd", inputs=lines(3))
    assert (status, out) == (1, "")
    assert "longdouble" in err


def test_of_failures_that_go_to_a_file_the_first_is_shown(maps: Maps) -> None:
    status, _, err = maps.run("functions:fail", "--failed", "failed", inputs=lines("bad", "a", "bad", "bad"))
    assert status == 1
    assert err.count("no such thing") == 1
    assert len(maps.rows("failed")) == 3
    quiet = maps.run("functions:fail", "--failed", "others", "--quiet", inputs=lines("bad"))
    assert quiet == (1, "", "")


def test_inputs_that_end_with_nul_may_hold_lines(maps: Maps) -> None:
    (maps.folder / "documents").write_bytes(b"\0".join([b"line\n" * 20_000] * 2) + b"\0")
    (maps.folder / "record").write_bytes(b'{"a": 1,\n"b": 2,\n"c": 3}')
    status, out, _ = maps.run("functions:raw", "-0", "documents")
    assert (status, [row["result"] for row in rows_of(out)]) == (0, [100_000] * 2)
    status, out, _ = maps.run("functions:shape", "-0", "--jsonl", "record")
    assert (status, [row["result"] for row in rows_of(out)]) == (0, ["dict"])
