"""Starting a supervisor as a child: what binds the two, with stand-ins that know nothing of jobs."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import msgspec
import pytest

from tempotask import InvalidOptions, NotImportable, TempoTaskError
from tempotask.launch import Launch, Start
from tempotask.process import GENTLY, SupervisorProcess

ELSEWHERE = """
import sys
from tempotask.cli.supervisor import main
sys.platform = "darwin"
main()
"""
"""The command on a system that is not Linux."""
START = Start("app:tempotask", namespace="n", concurrency=3, tasks=[("q", "t")])


def stand_in(folder: Path, body: str) -> str:
    """An executable that takes the place of Python, and runs `body` instead of the supervisor."""
    program = folder / "stand_in"
    opening = f"#!{sys.executable}\nimport json, os, signal, sys, time\n"
    opening += "report = os.fdopen(int(sys.argv[sys.argv.index('-m') + 2]), 'w')\n"
    program.write_text(opening + textwrap.dedent(body))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return str(program)


def launched(monkeypatch: pytest.MonkeyPatch, folder: Path, body: str, start: Start = START) -> Launch:
    monkeypatch.setattr(sys, "executable", stand_in(folder, body))
    launch = Launch(start, grace=30.0)
    launch.begin()
    return launch


def pipes() -> set[str]:
    """Those that this process has open."""
    found = set()
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # that of this very look
            found.add(os.readlink(f"/proc/self/fd/{fd}"))
    return {name for name in found if name.startswith("pipe:")}


WAIT = "while True: time.sleep(0.05)"
"""And not `signal.pause()`, which a signal that comes just before it does not end."""
READY = """
signal.signal(signal.SIGUSR1, lambda *_: os._exit(0))
signal.pthread_sigmask(signal.SIG_SETMASK, ())
print(json.dumps({'ready': True}), file=report, flush=True)
"""


def test_a_pool_that_is_ready_can_be_stopped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    launch = launched(monkeypatch, tmp_path, READY + WAIT)
    launch.ready()
    assert launch.ended() is None
    assert launch.stop() == 0
    assert launch.ended() == 0
    assert launch.stop() == 0


def test_the_supervisor_is_told_what_only_the_program_knows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, "/somewhere/else"])
    body = """
        told = [sys.argv, sys.stdin.readline(), sys.path]
        print(json.dumps({'error': json.dumps(told)}), file=report)
    """
    launch = launched(monkeypatch, tmp_path, body)
    with pytest.raises(TempoTaskError) as told:
        launch.ready()
    arguments, start, path = json.loads(str(told.value))
    own = arguments.index("-m")
    assert arguments[own : own + 2] == ["-m", "tempotask.launched"]
    assert arguments[own + 3 :] == sys.argv
    assert msgspec.json.decode(start, type=Start) == START
    assert "/somewhere/else" in path


@pytest.mark.parametrize(
    ("kind", "error"),
    [("NotImportable", NotImportable), ("InvalidOptions", InvalidOptions), ("SystemExit", TempoTaskError)],
)
def test_what_keeps_the_pool_from_starting_is_raised_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str, error: type[TempoTaskError]
) -> None:
    body = f"print(json.dumps({{'error': 'no way', 'kind': {kind!r}}}), file=report, flush=True); sys.exit(2)"
    launch = launched(monkeypatch, tmp_path, body)
    with pytest.raises(error, match="no way") as raised:
        launch.ready()
    assert type(raised.value) is error
    assert launch.ended() == 2 or launch.ended() == -GENTLY


def test_a_pool_that_is_stopped_before_anybody_asks_how_it_went_leaves_nothing_open(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = pipes()
    launched(monkeypatch, tmp_path, READY + WAIT).stop()
    assert pipes() <= before


def test_a_supervisor_that_ends_without_a_word_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    launch = launched(monkeypatch, tmp_path, "os._exit(3)")
    with pytest.raises(TempoTaskError, match="before it was ready"):
        launch.ready()


def test_ctrl_c_before_the_pool_is_ready_is_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    body = f"""
        signal.signal(signal.SIGUSR1, lambda *_: os._exit(0))
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.kill(os.getppid(), signal.SIGINT)
        {WAIT}
    """
    launch = launched(monkeypatch, tmp_path, body)
    with launch.passing_on_signals():
        launch.ready()
        assert launch.wait() == 0


def test_the_pool_learns_of_the_programs_death_also_when_a_fork_of_it_lives(tmp_path: Path) -> None:
    """The program is killed while a child that it forked lives on; the supervisor's input ends all the same."""
    seen = tmp_path / "seen"
    supervisor = stand_in(tmp_path, READY + f"sys.stdin.read(); open({str(seen)!r}, 'w').write('end of file')")
    program = f"""
        import os, signal, sys
        sys.executable = {supervisor!r}
        from tempotask.launch import Launch, Start
        launch = Launch(Start("app:tempotask"), 30.0)
        launch.begin()
        launch.ready()
        if os.fork() == 0:
            sys.stdin.read()
            os._exit(0)
        print("ready", launch.pid, flush=True)
        signal.pause()
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        word, pid = process.stdout.readline().split()
        assert word == "ready"
        process.kill()
        process.wait()
        # The stand-in has become ours (tests adopt what loses its parent), so that its end can be waited for.
        os.waitpid(int(pid), 0)
        assert seen.read_text() == "end of file"
        process.stdin.close()


def test_a_supervisor_may_be_started_before_it_is_known_what_it_will_supervise(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "executable", stand_in(tmp_path, "sys.stdin.readline()\n" + READY + WAIT))
    process = SupervisorProcess()
    launch = Launch(START, grace=30.0)
    launch.begin(process)
    launch.ready()
    assert launch.pid == process.child.pid
    assert launch.stop() == 0


def test_a_supervisor_that_nobody_wants_after_all_is_gone_at_once_and_leaves_nothing_open() -> None:
    before = pipes()
    process = SupervisorProcess()
    process.dismiss()
    assert process.child.returncode == -signal.SIGKILL
    assert pipes() <= before


def test_a_supervisor_whose_program_is_killed_before_it_is_told_anything_ends_without_a_word() -> None:
    program = """
        import signal
        from tempotask.process import GENTLY, SupervisorProcess
        print(SupervisorProcess().child.pid, flush=True)
        signal.pause()
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        pid = int(process.stdout.readline())
        process.kill()
        process.wait()
        # It has become ours (tests adopt what loses its parent).
        assert os.waitpid(pid, 0)[1] == 0
        assert process.stderr.read() == ""


def test_where_no_pool_can_be_it_is_refused_in_one_line() -> None:
    command = [sys.executable, "-c", ELSEWHERE, "app:tempotask"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith("tempotask-supervisor: the worker pool needs Linux, and this is darwin")
    assert ended.stderr.count("\n") == 1
