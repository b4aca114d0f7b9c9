"""`tempotask map --resume`: whatever stops a map, the same command ends with every input in the file exactly once."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import redis
from cli.mapped import Maps, Started, lines
from pool.running import LONG, wait_until
from servers import OwnServer

from tempotask.cli.mapping.answered import answered
from tempotask.cli.mapping.span import LONGEST
from tempotask.cli.mapping.target import Target


def written(maps: Maps, name: str = "out") -> list[str]:
    """The inputs of all whole rows in a file."""
    path = maps.folder / name
    content = path.read_bytes() if path.exists() else b""
    return [json.loads(line)["input"] for line in content.splitlines(keepends=True) if line.endswith(b"\n")]


def test_a_map_killed_again_and_again_answers_each_input_once_and_runs_none_again_that_was_written(maps: Maps) -> None:
    number, chance = 10_000, random.Random(7)
    # The last one ends when it may, so that there is always something to kill.
    (maps.folder / "inputs").write_text(lines(*range(number), "gate"))
    command = ("functions:noted_or_held", "inputs", "-o", "out")
    ran: dict[str, int] = {}
    for kill in range(6):
        started = maps.start(*command, *(("--resume",) if kill else ()))
        # Those that travel with the last one wait for it.
        most = min(number - LONGEST, len(written(maps)) + chance.randrange(1, 2500))
        wait_until(lambda: len(written(maps)) >= most, "it stands still", 120)  # noqa: B023
        started.kill()
        # What is in the file now has run as often as it ever will.
        counts = Counter(maps.notes())
        for one in written(maps):
            ran.setdefault(one, counts[one])
    (maps.folder / "gate").touch()
    assert maps.run(*command, "--resume")[0] == 0
    assert sorted(written(maps)) == sorted([*map(str, range(number)), "gate"])
    counts = Counter(maps.notes())
    assert {one: counts[one] for one in ran} == ran


def test_what_was_finished_and_not_written_is_taken_from_the_server(maps: Maps) -> None:
    started = maps.start("functions:wait", "-o", "out")
    started.give("gate", "a", "b", "c")
    wait_until(lambda: len(written(maps)) == 3, "the short ones were not written")
    maps.noted(lambda notes: "+gate" in notes, "the long one was not begun")
    os.kill(started.process.pid, signal.SIGSTOP)
    (maps.folder / "gate").touch()
    wait_until(lambda: answers(maps) == 4, "the long one did not end")
    started.kill()
    assert len(written(maps)) == 3
    status, _, err = maps.run("functions:wait", "-o", "out", "--resume", inputs=lines("gate", "a", "b", "c"))
    assert status == 0, err
    assert sorted(written(maps)) == ["a", "b", "c", "gate"]
    assert sorted(maps.notes()) == ["+a", "+b", "+c", "+gate"]


def test_what_came_of_a_bare_map_is_no_row_of_one_that_is_not(maps: Maps) -> None:
    started = maps.start("functions:wait", "-o", "out", "--bare")
    started.give("gate")
    maps.noted(lambda notes: "+gate" in notes, "it was not begun")
    os.kill(started.process.pid, signal.SIGSTOP)
    (maps.folder / "gate").touch()
    wait_until(lambda: answers(maps) == 1, "it did not end")
    started.kill()
    status, _, err = maps.run("functions:wait", "-o", "out", "--resume", inputs=lines("gate"))
    assert (status, written(maps)) == (0, ["gate"]), err


def namespace(maps: Maps) -> str:
    """Under which the map to `out` keeps its keys."""
    path = os.path.realpath(maps.folder / "out")
    return f"map-{hashlib.blake2b(os.fsencode(path), digest_size=8).hexdigest()}"


def answers(maps: Maps) -> int:
    """How many answers the server holds for the map to `out`."""
    with redis.Redis.from_url(maps.environment["TEMPOTASK_DB"]) as client:
        keys = client.scan_iter(f"{{{namespace(maps)}}}:outcomes:*", count=10_000)
        return sum(int(client.hlen(key)) for key in keys)  # type: ignore[arg-type]


def stored(maps: Maps, command: str, key: str) -> int:
    """What a command says of a key of the map to `out`."""
    with redis.Redis.from_url(maps.environment["TEMPOTASK_DB"]) as client:
        return int(client.execute_command(command, f"{{{namespace(maps)}}}:{key}"))  # type: ignore[no-untyped-call]


def test_what_waits_in_the_queue_is_picked_up(maps: Maps) -> None:
    inputs = ["gate", *map(str, range(20))]
    started = maps.start("functions:wait", "-o", "out", "-j", "1")
    started.give(*inputs)
    maps.noted(lambda notes: "+gate" in notes, "nothing was begun")
    started.kill()
    (maps.folder / "gate").touch()
    assert maps.run("functions:wait", "-o", "out", "--resume", inputs=lines(*inputs))[0] == 0
    assert sorted(written(maps)) == sorted(inputs)
    assert sorted(maps.notes()) == sorted(["+gate", *(f"+{one}" for one in inputs)])


def test_ctrl_c_finishes_what_runs_and_says_how_to_go_on(maps: Maps) -> None:
    inputs = ["gate", *map(str, range(3000))]
    (maps.folder / "inputs").write_text(lines(*inputs))
    started = maps.start("functions:wait", "inputs", "-o", "out", "-j", "1")
    maps.noted(lambda notes: "+gate" in notes, "nothing was begun")
    started.process.send_signal(signal.SIGINT)
    assert told(started, "stopping: what runs is finished")
    (maps.folder / "gate").touch()
    status, _, err = started.end()
    assert status == 130
    assert "the same command with --resume goes on" in err
    assert "gate" in written(maps)
    assert len(written(maps)) < len(inputs)
    assert maps.run("functions:wait", "inputs", "-o", "out", "--resume")[0] == 0
    assert sorted(written(maps)) == sorted(inputs)
    assert Counter(maps.notes()) == Counter(f"+{one}" for one in inputs)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_server_is_waited_for_ends_it_as_interrupted(maps: Maps, number: signal.Signals) -> None:
    # A server that takes connections and never answers.
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        started = maps.start("functions:wait", "-o", "out", "--db", f"redis://127.0.0.1:{port}/0")
        connection, _ = server.accept()
        with connection:
            started.process.send_signal(number)
            assert started.process.wait(LONG) == 130
    assert "Traceback" not in started.end()[2]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)])
def test_a_signal_while_a_pipe_waits_for_who_writes_to_it_ends_it(
    maps: Maps, number: signal.Signals, status: int
) -> None:
    os.mkfifo(maps.folder / "pipe")
    started = maps.start("functions:wait", "pipe", "-o", "out")
    waits = Path(f"/proc/{started.process.pid}/wchan")
    wait_until(lambda: waits.read_text() == "wait_for_partner", "it does not open the pipe")
    started.process.send_signal(number)
    assert started.process.wait(LONG) == status
    assert "Traceback" not in started.end()[2]


def test_a_second_ctrl_c_stops_at_once(maps: Maps) -> None:
    started = maps.start("functions:hang", "-o", "out")
    started.give("long", "a")
    wait_until(lambda: written(maps) == ["a"], "nothing was written")
    started.process.send_signal(signal.SIGINT)
    assert told(started, "stopping: what runs is finished")
    started.process.send_signal(signal.SIGINT)
    assert started.end()[0] == 130


def told(started: Started, text: str) -> bool:
    """Whether it says that."""
    assert started.process.stderr is not None
    return any(text in line.decode() for line in iter(started.process.stderr.readline, b""))


def test_failed_inputs_are_tried_again(maps: Maps) -> None:
    command = ("functions:fail", "-o", "out", "--failed", "failed")
    assert maps.run(*command, inputs=lines("a", "bad", "exit"))[0] == 1
    text = (maps.folder / "functions.py").read_text()
    (maps.folder / "functions.py").write_text(text.replace('line == "bad"', 'line == "worse"'))
    status, _, err = maps.run(*command, "--resume", inputs=lines("a", "bad", "exit", "b"))
    assert status == 1
    assert "1 were answered before, 2 done, 1 failed" in err
    assert sorted(written(maps)) == ["a", "b", "bad"]
    assert [row["input"] for row in maps.rows("failed")] == ["exit"]


def test_what_failed_before_stays_in_its_file_until_a_map_goes_on(maps: Maps) -> None:
    files = ("-o", "out", "--failed", "failed")
    assert maps.run("functions:fail", *files, inputs=lines("a", "bad"))[0] == 1
    before = (maps.folder / "failed").read_bytes()
    for function, inputs in (("functions:nothing", lines("a", "bad")), ("functions:fail", lines("x", "bad"))):
        assert maps.run(function, *files, "--resume", inputs=inputs)[0] == 2
        assert (maps.folder / "failed").read_bytes() == before
    assert maps.run("functions:shout", *files, "--resume", inputs=lines("a", "bad"))[0] == 0
    assert (maps.folder / "failed").read_bytes() == b""


def test_a_file_of_failed_inputs_is_emptied_where_all_are_answered(maps: Maps) -> None:
    assert maps.run("functions:shout", "-o", "out", inputs=lines("a"))[0] == 0
    (maps.folder / "failed").write_text('{"index":0,"input":"a","error":"e","traceback":""}\n')
    assert maps.run("functions:shout", "-o", "out", "--failed", "failed", "--resume", inputs=lines("a"))[0] == 0
    assert (maps.folder / "failed").read_bytes() == b""


def test_answers_to_other_inputs_are_refused(maps: Maps) -> None:
    assert maps.run("functions:shout", "-o", "out", inputs=lines("a", "b", "c"))[0] == 0
    before = (maps.folder / "out").read_bytes()
    for given, answer in (
        (lines("a", "x", "c"), 'input 1 is "x" now, and another one in out'),
        (lines("a", "b"), "out answers input number 3, and there are 2 now"),
    ):
        status, _, err = maps.run("functions:shout", "-o", "out", "--resume", inputs=given)
        assert (status, err.count("\n")) == (2, 1)
        assert answer in err
        with redis.Redis.from_url(maps.environment["TEMPOTASK_DB"]) as client:
            assert not list(client.scan_iter(f"{{{namespace(maps)}}}:*", count=10_000))
    assert (maps.folder / "out").read_bytes() == before
    assert maps.run("functions:shout", "-o", "out", "--resume", inputs=lines("a", "b", "c", "d"))[0] == 0
    assert len(written(maps)) == 4


def test_ordered_output_goes_on_in_order(maps: Maps) -> None:
    inputs = [*map(str, range(400)), "gate", *map(str, range(400, 800))]
    started = maps.start("functions:wait", "-o", "out", "--ordered")
    started.give(*inputs)
    # Those that travel with the long one wait for it.
    wait_until(lambda: len(written(maps)) >= 400 - LONGEST, "what comes before the long one was not written")
    started.kill()
    assert written(maps) == inputs[: len(written(maps))]
    (maps.folder / "gate").touch()
    assert maps.run("functions:wait", "-o", "out", "--ordered", "--resume", inputs=lines(*inputs))[0] == 0
    assert written(maps) == inputs


def test_what_was_finished_out_of_order_is_kept_for_the_command_that_goes_on(maps: Maps) -> None:
    inputs = ["gate", "a", "b", "gate 2"]
    stopped_at_once(maps, ("functions:wait", "-o", "out", "--ordered"), inputs, lambda: answers(maps) == 2)
    for gate in ("gate", "gate 2"):
        (maps.folder / gate).touch()
    assert maps.run("functions:wait", "-o", "out", "--ordered", "--resume", inputs=lines(*inputs))[0] == 0
    assert written(maps) == inputs
    assert Counter(maps.notes())["+a"] == Counter(maps.notes())["+b"] == 1


def test_what_was_kept_outlives_a_command_that_is_stopped_before_it_comes_to_it(maps: Maps) -> None:
    inputs = ["gate", "a", "b", "gate 2"]
    command = ("functions:wait", "-o", "out", "--ordered")
    stopped_at_once(maps, command, inputs, lambda: answers(maps) == 2)
    # It is given nothing, and told to stop.
    started = maps.start(*command, "--resume")
    wait_until(lambda: stored(maps, "hlen", "workers") == 2, "its pool does not start")
    started.process.send_signal(signal.SIGINT)
    assert started.end()[0] == 130
    for gate in ("gate", "gate 2"):
        (maps.folder / gate).touch()
    assert maps.run(*command, "--resume", inputs=lines(*inputs))[0] == 0
    assert written(maps) == inputs
    assert Counter(maps.notes())["+a"] == Counter(maps.notes())["+b"] == 1


def test_the_rest_of_a_span_that_was_answered_in_part_runs_once(maps: Maps) -> None:
    # As soon as the short ones have shown how many fill a span, long ones are in it.
    inputs = ["gate", *map(str, range(200)), *(f"slow {number}" for number in range(20))]
    command = ("functions:wait", "-o", "out", "--ordered")
    stopped_at_once(maps, command, inputs, lambda: stored(maps, "zcard", "idle") == 1)
    (maps.folder / "gate").touch()
    assert maps.run(*command, "--resume", inputs=lines(*inputs))[0] == 0
    assert written(maps) == inputs
    counts = Counter(maps.notes())
    assert {one: counts[f"+{one}"] for one in inputs if counts[f"+{one}"] > 1} == {"gate": 2}


def stopped_at_once(maps: Maps, command: Sequence[str], inputs: Sequence[str], settled: Callable[[], bool]) -> None:
    """Has a map begin all of the inputs, and stops it when the short ones are settled."""
    started = maps.start(*command)
    started.give(*inputs)
    maps.noted(lambda notes: len(notes) == len(inputs), "not all were begun")
    wait_until(settled, "the short ones were not settled")
    started.process.send_signal(signal.SIGINT)
    assert told(started, "stopping: what runs is finished")
    started.process.send_signal(signal.SIGINT)
    assert started.end()[0] == 130
    assert written(maps) == []


def test_lines_of_json_and_names_that_are_no_text_are_known_again(maps: Maps) -> None:
    given = lines('{"name": "a"}', '{"name":"ü", "size": 2}')
    assert maps.run("functions:name_of", "--jsonl", "-o", "json", inputs=given)[0] == 0
    assert maps.run("functions:name_of", "--jsonl", "-o", "json", "--resume", inputs=given)[0] == 0
    names = b"\xff\nb\n"
    assert maps.run("functions:inside", "-o", "names", inputs=names)[0] == 0
    status, _, err = maps.run("functions:inside", "-o", "names", "--resume", inputs=names)
    assert status == 0
    assert "2 were answered before, 0 done" in err


def test_a_second_command_on_the_same_file_is_refused(maps: Maps) -> None:
    started = maps.start("functions:shout", "-o", "out")
    started.give("a")
    wait_until(lambda: written(maps) == ["a"], "nothing was written")
    for more in ((), ("--resume",)):
        status, _, err = maps.run("functions:shout", "-o", "out", *more, inputs=lines("a"))
        assert status == 2
        assert "another command writes to out right now" in err
    assert started.end()[0] == 0


ROW = b'{"index":%d,"input":"a","result":1}\n'


@pytest.mark.parametrize(
    ("content", "indices", "kept"),
    [
        (b"", set(), b""),
        (ROW % 3 + ROW % 1, {1, 3}, ROW % 3 + ROW % 1),
        (ROW % 0 + (ROW % 1)[:-1], {0}, ROW % 0),
        (ROW % 0 + b'{"ind', {0}, ROW % 0),
        # A power cut: of a block that the disk was to hold nothing but zeros is left.
        (ROW % 0 + b"\0" * 50, {0}, ROW % 0),
        (ROW % 0 + b"\0" * 50 + b"1}\n" + ROW % 2, {0}, ROW % 0),
        (b"\0" * 50, set(), b""),
        (b'{"ind', set(), b""),
    ],
)
def test_what_was_not_written_to_the_end_is_cut_off(
    tmp_path: Path, content: bytes, indices: set[int], kept: bytes
) -> None:
    file = tmp_path / "out"
    file.write_bytes(content)
    target = Target.open(str(file))
    found = answered(target)
    target.close()
    assert {index for index in range(10) if index in found} == indices
    assert found.beyond == max(indices, default=-1) + 1
    assert file.read_bytes() == kept


@pytest.mark.parametrize(
    ("content", "answer"),
    [
        (b"1\n2\n", "line 1 is no row of a map"),
        (b'{"config": 1}', "line 1 is no row of a map"),
        (b"SQLite format 3\0\x10\0\n", "line 1 is no row of a map"),
        (b"\0\1\0\0\0\x0f", "line 1 is no row of a map"),
        (ROW % 0 + b"a note", "line 2 is no row of a map, nor the beginning of one"),
        (ROW % 0 + b'{"index":-1,"input":"a"}\n', "line 2 is no row of a map"),
        (ROW % 0 + b"some text\n", "line 2 is no row of a map"),
        (ROW % 0 + ROW % 0, "line 2 answers input 0 once more"),
        (ROW % (2**63 - 1), "line 1 answers input 9223372036854775807, and nobody has so many"),
    ],
)
def test_a_file_that_no_map_has_written_is_refused_and_stays_as_it_is(maps: Maps, content: bytes, answer: str) -> None:
    (maps.folder / "out").write_bytes(content)
    status, _, err = maps.run("functions:shout", "-o", "out", "--resume", inputs=lines("a"))
    assert status == 2
    assert answer in err
    assert (maps.folder / "out").read_bytes() == content


def test_a_file_that_no_map_has_written_is_not_begun_anew_for_the_failed(maps: Maps) -> None:
    (maps.folder / "notes.txt").write_text("my notes\n")
    command = ("functions:fail", "-o", "out", "--failed", "notes.txt")
    status, _, err = maps.run(*command, inputs=lines("bad"))
    assert (status, err.count("\n")) == (2, 1)
    assert "notes.txt is not empty: --resume begins it anew, or remove it" in err
    status, _, err = maps.run(*command, "--resume", inputs=lines("bad"))
    assert (status, err.count("\n")) == (2, 1)
    assert "notes.txt is something else" in err
    assert (maps.folder / "notes.txt").read_text() == "my notes\n"


def test_a_second_ctrl_c_stops_at_once_where_the_server_is_away_and_the_same_command_goes_on(
    maps: Maps, start_server: Callable[..., OwnServer]
) -> None:
    server, inputs = start_server("--appendonly", "yes"), [*map(str, range(20)), "gate"]
    maps.environment["TEMPOTASK_DB"] = server.url
    command = ("functions:wait", "-o", "out", "--resume")
    started = maps.start(*command)
    started.give(*inputs)
    wait_until(lambda: len(written(maps)) == 20, "the short ones were not written")
    server.kill()
    started.process.send_signal(signal.SIGINT)
    assert told(started, "stopping: what runs is finished")
    started.process.send_signal(signal.SIGINT)
    status, _, err = started.end()
    assert status == 130
    assert err.endswith("tempotask map: interrupted: 20 done; the same command goes on\n")
    server.start()
    (maps.folder / "gate").touch()
    assert maps.run(*command, inputs=lines(*inputs))[0] == 0
    assert sorted(written(maps)) == sorted(inputs)


def test_rows_of_what_is_no_unicode_and_of_no_finite_number_are_known_again(maps: Maps) -> None:
    (maps.folder / "inputs").write_text('{"a": 1}\n{"a": 2, "a": 3}\n')
    command = ("--jsonl", "functions:odd", "inputs", "-o", "out")
    assert maps.run(*command)[0] == 0
    rows = (maps.folder / "out").read_bytes()
    assert b"Infinity" not in rows
    assert maps.run(*command, "--resume")[0] == 0
    assert (maps.folder / "out").read_bytes() == rows
