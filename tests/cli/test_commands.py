"""What `tempotask` prints, and how it ends."""

from __future__ import annotations

import base64
import functools
import json
import os
import pty
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from cli.typed import PROGRAM, Run, finish
from servers import OwnServer

from tempotask.store.records import (
    Record,
    Registration,
    encode,
)
from tempotask.store.store import Store


def test_a_job_is_added_with_its_options_and_its_id_is_printed(run: Run, store: Store) -> None:
    ended = run("enqueue", "images", "shrink", "--data", '{"path": "a.png"}', "--id", "a.png", "--priority", "5",
                "--attempts", "3", "--timeout", "1.5")  # fmt: skip
    assert ended == (0, "a.png\n", "")
    record = msgspec.msgpack.decode(store.read("LINDEX", "queue:5:images", 0), type=Record)
    assert (record.id, record.name, msgspec.msgpack.decode(record.payload)) == ("a.png", "shrink", {"path": "a.png"})
    assert record.options is not None
    assert (record.options.attempts, record.options.timeout) == (3, 1.5)
    again = run("enqueue", "images", "shrink", "--id", "a.png")
    assert (again.status, again.out) == (0, "a.png\n")
    assert "nothing was added" in again.err


def test_a_job_can_be_delayed(run: Run, store: Store) -> None:
    run("enqueue", "images", "shrink", "--delay", "100")
    run("enqueue", "images", "shrink", "--delay-until", "2100-01-01T00:00:00+00:00")
    assert store.read("ZCARD", "due") == 2
    assert len(store.read("ZRANGEBYSCORE", "due", 4102444800000, 4102444800000)) == 1


def test_data_can_come_from_a_file_and_from_the_standard_input(
    run: Run, tmp_path: Path, server_url: str, namespace: str
) -> None:
    (tmp_path / "data.json").write_text('["from", "a file"]')
    (id,) = run("enqueue", "images", "shrink", "--data", f"@{tmp_path / 'data.json'}").out.split()
    assert run("job", id, "--json").objects[0]["data"] == ["from", "a file"]
    command = [*PROGRAM, "enqueue", "images", "shrink", "--data", "@-", "--db", server_url, "--namespace", namespace]
    piped = subprocess.run(command, input=b'"piped"', capture_output=True, check=True, timeout=60)
    assert run("job", piped.stdout.decode().strip(), "--json").objects[0]["data"] == "piped"


def test_a_copy_is_published_to_each_queue(run: Run) -> None:
    assert run("publish", "created", "mail", "stats", "--id", "x").out == "x:mail\nx:stats\n"
    told = run("publish", "created", "mail", "other", "--id", "x", "--json").objects
    assert told == [
        {"id": "x:mail", "queue": "mail", "name": "created", "created": False},
        {"id": "x:other", "queue": "other", "name": "created", "created": True},
    ]


def test_who_looks_into_an_empty_namespace_is_told_of_others(start_server: Callable[..., OwnServer], bare: Run) -> None:
    url = start_server().url
    bare("enqueue", "images", "shrink", "--db", url, "--namespace", "shop")
    ended = bare("queues", "--db", url)
    assert ended.status == 0
    assert "no queues in namespace tempotask" in ended.err
    assert ended.err.endswith("; others there are shop: give --namespace\n")


def test_queues_are_listed(run: Run) -> None:
    empty = run("queues")
    assert empty.status == 0
    assert "no queues in namespace" in empty.err
    run("publish", "created", "mail", "stats")
    assert [line.split()[:4] for line in run("queues").out.splitlines()] == [
        ["name", "paused", "waiting", "delayed"],
        ["mail", "no", "1", "0"],
        ["stats", "no", "1", "0"],
    ]
    assert "no supervisor works in namespace" in run("queues").err
    fields = "name paused waiting delayed processing completed failed cancelled oldest_seconds"
    assert [list(told) for told in run("queues", "--json").objects] == [fields.split()] * 2


def test_jobs_are_listed_newest_first_with_all_promised_fields(run: Run) -> None:
    for id in ("first", "second", "third"):
        run("enqueue", "images", "shrink", "--id", id)
    assert [line.split()[0] for line in run("jobs").out.splitlines()] == ["id", "third", "second", "first"]
    (told,) = run("jobs", "--limit", "1", "--json").objects
    assert " ".join(told) == (
        "id name queue status paused priority tries enqueued_at started_at finished_at wait_seconds run_seconds "
        "cpu_seconds peak_memory_bytes worker host parent error result"
    )
    assert told["id"] == "third"
    assert run("jobs", "--queue", "images", "--status", "waiting", "--name", "shrink", "--json").out.count("\n") == 3
    assert run("jobs", "--queue", "other", "--json") == (0, "", "")


def test_a_finished_job_is_shown_with_result_and_logs(run: Run, store: Store) -> None:
    (id,) = run("enqueue", "images", "shrink", "--data", "[1]").out.split()
    finish(store, result={"bytes": b"\x00\xff", b"key": 1})
    shown = run("job", id)
    assert shown.status == 0
    for text in (id, "completed", "half way", "box1"):
        assert text in shown.out
    (told,) = run("job", id, "--json").objects
    assert told["result"]["bytes"] == base64.b64encode(b"\x00\xff").decode()
    assert (told["status"], told["data"], told["run_seconds"]) == ("completed", [1], pytest.approx(0.5, abs=0.001))
    assert told["logs"][0]["message"] == "half way"
    assert abs(told["finished_at"] - store.now()) < 60


def test_who_asks_for_the_log_of_a_job_that_history_let_go_is_told_so(run: Run, store: Store) -> None:
    (id,) = run("enqueue", "images", "shrink", "--data", "[1]").out.split()
    finish(store)
    store.server.client().delete(f"{store.prefix}history:images:completed")
    assert run("logs", id) == (0, "", f"history does not keep job {id} any more, nor what it logged\n")
    assert run("logs", id, "--json") == (0, "", "")


@pytest.mark.parametrize("number", ["0.0004", "-0.12345678", "1e+300", "3"])
def test_a_number_of_the_users_is_shown_as_it_is(run: Run, number: str) -> None:
    (id,) = run("enqueue", "images", "shrink", "--data", number).out.split()
    assert f"data         {number}\n" in run("job", id).out


def test_a_failed_job_is_shown_with_its_traceback_and_nothing_a_terminal_obeys(run: Run, store: Store) -> None:
    (id,) = run("enqueue", "images", "shrink").out.split()
    finish(store, "failed")
    for command in (("job", id), ("jobs",)):
        shown = run(*command)
        assert "ValueError: no" in shown.out
        assert "\x1b" not in shown.out
        assert "\t" not in shown.out
    assert "Traceback:\n      here" in run("job", id).out
    assert run("job", id, "--json").objects[0]["error"] == "ValueError: no\x1b[31m such\nfile"


def test_an_unknown_job_is_a_no(run: Run) -> None:
    ended = run("job", "nope")
    assert (ended.status, ended.out, ended.err.count("\n")) == (1, "", 1)
    assert "nobody knows a job 'nope'" in ended.err


def test_check_says_whether_all_is_right_and_repair_mends(run: Run, store: Store) -> None:
    run("enqueue", "images", "shrink")
    right = run("check")
    assert (right.status, right.out.count("\n"), right.err) == (0, 1, "")
    assert run("check", "--json").objects[0]["violations"] == 0
    store.server.client().delete(store.ring)
    wrong = run("check")
    assert (wrong.status, wrong.out) == (1, "ring has no images, in which jobs wait\n")
    assert "--repair mends 1" in wrong.err
    assert run("check", "--json").objects == [
        {"key": "ring", "text": "has no images, in which jobs wait", "mendable": True}
    ]
    mended = run("check", "--repair")
    assert mended.status == 0
    assert mended.out.startswith("mended: ring has no images, in which jobs wait: there once now\n")
    assert run("check").status == 0


def test_check_of_a_namespace_without_anything_says_so(run: Run) -> None:
    ended = run("check")
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.endswith(": nothing is there\n")


def test_the_server_is_shown_with_who_works_there(run: Run, store: Store) -> None:
    store.register("s1", 60, encode(Registration("box1", "boot", 42, 1000.0, [("images", "shrink")], 2)), [])
    store.register("s0", 60, b"of another version", [])
    store.register("s1", 60, b"", ["w1", "w2"])
    (told,) = run("server", "--json").objects
    assert (told["name"], told["embedded"], told["workers"], told["keys"]) == ("valkey", False, 2, 6)
    other, supervisor = told["supervisors"]
    assert (other["id"], other["host"]) == ("s0", None)
    assert (supervisor["id"], supervisor["workers"], supervisor["lease"]) == ("s1", 2, "held")
    assert (supervisor["host"], supervisor["pid"], supervisor["tasks"]) == ("box1", 42, [["images", "shrink"]])
    shown = run("server").out
    for text in (store.server.label, "valkey", "on box1, pid 42, 2 workers, lease for"):
        assert text in shown
    store.register("s2", 60, encode(Registration("box2", "boot", 43, 1000.0, [], 1)), ["w3"])
    assert "on box2, pid 43, 1 worker, lease for" in run("server").out


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        (["chek"], "there is no command 'chek'; did you mean 'check'?"),
        (["purge"], "there is no command 'purge'; did you mean 'delete'?"),
        (["worker"], "workers are started with `tempotask-supervisor app:tempotask`"),
        (["xyzzy"], "there is no command 'xyzzy'; there are queues, jobs, "),
        (["jobs", "--quue", "x"], "there is no option --quue; did you mean --queue?"),
        (["--json", "jobs"], "options come after the command"),
        (["events", "--queue", "a", "--queue", "b"], "--queue takes one value here, not a and b"),
        (["jobs", "--limit", "0"], "0 is not in the range"),
        (["jobs", "--status", "wating"], "there are waiting, delayed, processing, completed, failed, cancelled"),
        (["job"], "Missing argument 'ID'"),
        (["queues", "x"], "unexpected extra argument"),
        (["queues", "--namespace", "a b"], "a name is 1 to 200 ASCII letters"),
        (["queues", "--db", "localhost:6379"], "redis://"),
        (["enqueue", "a b", "c"], "a name is 1 to 200 ASCII letters"),
        (["enqueue", "a", "b", "--data", "{x"], "--data is no JSON"),
        (["enqueue", "a", "b", "--data", "@/nowhere/x"], "No such file or directory"),
        (["enqueue", "a", "b", "--attempts", "0"], "attempts=0: give a whole number"),
        (["enqueue", "a", "b", "--attempts", "x"], "'x' is not a valid integer"),
        (["enqueue", "a", "b", "--delay-until", "tomorrow"], "2030-01-31T12:00:00+01:00"),
        (["enqueue", "a", "b", "--delay-until", "2030-01-31"], "has no time zone"),
        (["enqueue", "a", "b", "--delay", "nan"], "delay=nan: give seconds"),
        (["publish", "a"], "Missing argument"),
        (["publish", "a", "b", "b"], "is there twice"),
    ],
)
def test_bad_use_ends_with_2_and_says_what_to_type(bare: Run, typed: list[str], answer: str, server_url: str) -> None:
    db = [] if "--db" in typed or len(typed) < 2 else ["--db", server_url]
    ended = bare(*typed, *db)
    assert (ended.status, ended.out) == (2, "")
    assert answer in ended.err
    assert ended.err.count("\n") <= 3


def test_a_server_out_of_reach_ends_with_2_and_one_line(bare: Run, tmp_path: Path) -> None:
    ended = bare("queues", "--db", f"unix://{tmp_path}/none.sock")
    assert (ended.status, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert "none.sock" in ended.err


def test_help_lists_the_commands_and_loads_no_store(bare: Run) -> None:
    told = bare("--help")
    assert told.status == 0
    for name in ("check", "enqueue", "job", "jobs", "publish", "queues", "server"):
        assert f"\n  {name} " in told.out
    assert bare().out == told.out
    needless = "import sys, tempotask.cli.main; print([name for name in ('rich', 'psutil') if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", needless], capture_output=True, text=True, check=True, timeout=60)
    assert loaded.stdout == "[]\n"


def test_without_a_server_the_embedded_one_of_the_folder_is_used_and_keeps_the_jobs(short_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TEMPOTASK")}

    def here(*arguments: str) -> str:
        command = [*PROGRAM, *arguments]
        return subprocess.run(
            command, cwd=short_path, env=environment, capture_output=True, text=True, check=True, timeout=60
        ).stdout

    id = here("enqueue", "images", "shrink").strip()
    assert json.loads(here("jobs", "--json"))["id"] == id
    assert json.loads(here("server", "--json"))["embedded"] is True
    assert "all is right" in here("check")


@pytest.fixture
def on_terminal(server_url: str, namespace: str) -> Callable[..., str]:
    """What a command shows on a terminal so wide."""
    return functools.partial(shown_on_terminal, ["--db", server_url, "--namespace", namespace])


def shown_on_terminal(where: list[str], *command: str, width: int) -> str:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(width), "NO_COLOR": "1", "TERM": "dumb"}
    with subprocess.Popen(
        [*PROGRAM, *command, *where],
        stdout=theirs,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        env=environment,
    ) as it:
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 65536):
                shown += part
        except OSError:
            pass  # what Linux says at the end of a terminal
        os.close(ours)
        assert it.wait(60) == 0
    return shown.decode()


def test_on_a_terminal_there_are_tables(run: Run, on_terminal: Callable[..., str]) -> None:
    run("enqueue", "images", "shrink", "--id", "a.png")
    shown = on_terminal("jobs", width=150)
    assert "a.png" in shown
    assert "─" in shown


def test_on_a_terminal_of_80_columns_a_job_is_one_line(run: Run, on_terminal: Callable[..., str]) -> None:
    id = run("enqueue", "images", "thumbnail").out.strip()
    assert f"{id} thumbnail images waiting" in " ".join(on_terminal("jobs", width=80).split())


def test_a_queue_is_listed_that_was_paused_before_it_had_a_job(run: Run) -> None:
    assert run("pause", "images").status == 0
    (told,) = map(json.loads, run("queues", "--json").out.splitlines())
    assert (told["name"], told["paused"], told["waiting"]) == ("images", True, 0)


def test_only_a_single_job_can_be_a_schedule(run: Run) -> None:
    ended = run("publish", "note", "a", "b", "--repeat", "* * * * *")
    assert ended.status == 2
    assert "--repeat" in ended.err


def test_a_reader_that_has_read_enough_is_no_error(run: Run, server_url: str, namespace: str) -> None:
    for _ in range(3):
        run("publish", "x", *(f"queue-{n}" for n in range(900)))
    command = [*PROGRAM, "jobs", "--limit", "5000", "--json", "--db", server_url, "--namespace", namespace]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as it:
        assert it.stdout is not None
        assert it.stderr is not None
        it.stdout.readline()
        it.stdout.close()
        assert it.stderr.read() == b""
        assert it.wait(60) == 0


def typed(line: str, server_url: str, namespace: str) -> subprocess.CompletedProcess[str]:
    """What a shell makes of a command with its redirections."""
    command = shlex.join(PROGRAM), shlex.join(["--db", server_url, "--namespace", namespace])
    first, _, redirected = line.partition(" <> ")
    shell = f"{command[0]} {first} {command[1]} {redirected}"
    return subprocess.run(["sh", "-c", shell], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("check <> >/dev/full", "the output can't be written: No space left on device"),
        ("server --json <> >/dev/full", "the output can't be written: No space left on device"),
        ("enqueue q n --id a <> >/dev/full", "the output can't be written: No space left on device"),
        ("jobs --help <> >/dev/full", "the output can't be written: No space left on device"),
        ("enqueue q n --id b <> >&-", "tempotask: the standard output is closed"),
        ("enqueue q n --id c --data @- <> <&-", "--data @-: it is closed; give @FILE"),
    ],
)
def test_a_closed_or_full_file_is_told_in_a_line(
    line: str, says: str, server_url: str, namespace: str, store: Store
) -> None:
    ended = typed(line, server_url, namespace)
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    assert says in ended.stderr
    assert store.read("HKEYS", "ids") == ([b"a"] if "--id a" in line else [])
    assert ("added all the same: a" in ended.stderr) == ("--id a" in line)


def test_what_the_output_can_not_say_is_spelt_out(server_url: str, namespace: str) -> None:
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii", "TEMPOTASK_DB": server_url}

    def said(*arguments: str) -> str:
        command = [*PROGRAM, *arguments, "--namespace", namespace]
        return subprocess.run(command, env=ascii_only, capture_output=True, check=True, timeout=60).stdout.decode(
            "ascii"
        )

    assert said("enqueue", "q", "n", "--id", "é", "--data", '"ä☃𝄞"') == "\\xe9\n"
    (listed,) = map(json.loads, said("jobs", "--json").splitlines())
    assert listed["id"] == "é"
    assert json.loads(said("job", "é", "--json"))["data"] == "ä☃𝄞"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ("enqueue", "q", "n", "--data"),
            "tempotask enqueue: Option '--data' requires an argument; see `tempotask enq",
        ),
        (("jobs", "--limit", "0"), "tempotask jobs: Invalid value for '--limit': 0 is not"),
        (("job",), "tempotask job: Missing argument 'ID'; see `tempotask job --help`"),
        (("jbos",), "tempotask: there is no command 'jbos'; did you mean 'jobs'?"),
    ],
)
def test_a_mistake_is_told_in_one_line_that_says_what_to_type(bare: Run, arguments: tuple[str, ...], says: str) -> None:
    ended = bare(*arguments)
    assert (ended.status, ended.err.count("\n")) == (2, 1)
    assert ended.err.startswith(says)


@pytest.mark.parametrize(
    "command", ["tempotask queues", "tempotask map builtins:len", "tempotask run-here x", "tempotask-supervisor a:b"]
)
def test_a_working_directory_that_is_gone_is_told_in_one_line(short_path: Path, command: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TEMPOTASK")}
    folder = short_path / "gone"
    folder.mkdir()
    program = shlex.join([str(Path(sys.executable).parent / command.split()[0]), *command.split()[1:]])
    ended = subprocess.run(
        ["sh", "-c", f"rmdir {shlex.quote(str(folder))}; {program}"],
        cwd=folder, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert "the working directory is gone" in ended.stderr


def test_a_key_of_another_kind_is_told_in_a_line_that_names_the_command_that_names_it(run: Run, store: Store) -> None:
    store.server.client().set(f"{store.prefix}queues", "x")
    ended = run("queues")
    assert (ended.status, ended.err.count("\n")) == (2, 1)
    assert "`tempotask check` names what is wrong" in ended.err
    checked = run("check")
    assert checked.status == 1
    assert "queues should be a set, and is a string" in checked.out


def test_a_long_id_is_not_repeated_and_a_time_of_no_year_is_a_number(run: Run, store: Store) -> None:
    assert len(run("job", "x" * 100_000).err) < 300
    record = encode(Record("", "late", "q", "0", "n", 1.0))
    store.server.client().zadd(f"{store.prefix}due", {record: 1e18})
    ended = run("job", "late")
    assert (ended.status, ended.err) == (0, "")
    assert "1e+15" in ended.out


def test_the_title_of_a_command_never_shows_a_url() -> None:
    program = (
        "from setproctitle import getproctitle\n"
        "from tempotask.cli.main import retitle\n"
        "for given in (['queues', '--db', 'redis://u:p@h'], ['redis://u:p@h', 'queues']):\n"
        "    retitle(given); print(getproctitle())\n"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert told.stdout == "tempotask: queues\ntempotask\n"
