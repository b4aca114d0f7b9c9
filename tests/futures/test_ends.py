"""How executors end, how their workers and their programs die, and what is left of them: nothing."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, CancelledError, wait
from pathlib import Path

import psutil
import pytest
import redis
from futures import errands
from futures.conftest import TESTS, Gate, Run, ready
from pool.running import LONG, wait_until

from tempotask import InvalidPayload, NotImportable, WorkerCrashed
from tempotask.futures import TempoExecutor


def namespaces(url: str) -> set[str]:
    """The executors that have keys on the server."""
    with redis.Redis.from_url(url) as client:
        return {key.decode().partition("}")[0][1:] for key in client.scan_iter("{executor-*}:*", count=10_000)}


def ours() -> list[str]:
    """The threads of executors."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("tempotask")]


@pytest.fixture
def alone(server_url: str) -> Iterator[TempoExecutor]:
    with TempoExecutor(2, db=server_url) as made:
        yield ready(made)


# -- the end


def test_after_a_shutdown_nothing_is_left_and_nothing_is_taken(server_url: str) -> None:
    before, processes = ours(), set(psutil.Process().children(recursive=True))
    with TempoExecutor(2, db=server_url) as executor:
        namespace = executor._feeder._client.namespace
        futures = [executor.submit(abs, -number) for number in range(100)]
        assert namespace in namespaces(server_url) or not futures[0].done()
    assert [future.result(0) for future in futures] == list(range(100))
    assert namespace not in namespaces(server_url)
    assert set(psutil.Process().children(recursive=True)) <= processes
    wait_until(lambda: len(ours()) <= len(before), f"threads are left: {ours()}")
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(abs, 1)
    executor.shutdown()


def test_a_call_for_which_there_is_no_thread_is_refused_and_the_next_one_is_made(
    server_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, refused = threading.Thread.start, list[str]()

    def refuse_once(thread: threading.Thread) -> None:
        if thread.name == "tempotask feeder" and not refused:
            refused.append(thread.name)
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse_once)
    with TempoExecutor(2, db=server_url) as executor:
        with pytest.raises(RuntimeError, match="can't start new thread"):
            executor.submit(abs, -1)
        assert executor.submit(abs, -2).result(LONG) == 2


def test_an_executor_that_was_never_used_starts_nothing(server_url: str) -> None:
    before = namespaces(server_url)
    with TempoExecutor(2, db=server_url) as executor:
        assert list(executor.map(abs, [])) == []
    assert namespaces(server_url) <= before


def test_a_shutdown_that_does_not_wait_lets_all_be_done(alone: TempoExecutor, gate: Gate) -> None:
    held = [alone.submit(errands.hold, *gate.arguments(name)) for name in "abc"]
    alone.shutdown(wait=False)
    gate.wait_for("a", "b")
    gate.open()
    assert [future.result(LONG) for future in held] == ["a", "b", "c"]


def test_a_shutdown_can_cancel_all_that_no_worker_has(alone: TempoExecutor, gate: Gate) -> None:
    held = [alone.submit(errands.hold, *gate.arguments(name)) for name in "ab"]
    gate.wait_for("a", "b")
    waiting = [alone.submit(abs, number) for number in range(50)]
    results = alone.map(abs, range(5))
    alone.shutdown(wait=False, cancel_futures=True)
    assert wait(waiting, LONG).not_done == set()
    assert all(future.cancelled() for future in waiting)
    with pytest.raises(CancelledError):
        next(results)
    gate.open()
    assert [future.result(LONG) for future in held] == ["a", "b"]


def test_an_executor_that_is_let_go_of_does_what_it_was_given_and_ends(server_url: str) -> None:
    executor = TempoExecutor(1, db=server_url)
    feeder = executor._feeder
    futures = [executor.submit(abs, -number) for number in range(20)]
    del executor
    assert [future.result(LONG) for future in futures] == list(range(20))
    feeder.join()
    assert feeder._client.namespace not in namespaces(server_url)


def test_a_shutdown_when_the_supervisor_has_died_waits_for_nobody_in_a_callback(
    alone: TempoExecutor, gate: Gate
) -> None:
    future, over = alone.submit(errands.hold, *gate.arguments("a")), threading.Event()
    future.add_done_callback(lambda _: (alone.shutdown(), over.set()))
    gate.wait_for("a")
    launched = alone._feeder._pool._launch
    assert launched is not None
    launched.signal(signal.SIGKILL)
    assert over.wait(LONG)
    assert isinstance(future.exception(0), BrokenExecutor)
    alone.shutdown()
    assert alone._feeder.ended


def test_many_executors_live_side_by_side(server_url: str) -> None:
    with contextlib.ExitStack() as stack:
        executors = [stack.enter_context(TempoExecutor(1, db=server_url)) for _ in range(3)]
        futures = [executor.submit(errands.add, number, 1) for number, executor in enumerate(executors)]
        assert [future.result(LONG) for future in futures] == [1, 2, 3]


def test_a_shutdown_in_a_callback_does_not_wait_for_itself(alone: TempoExecutor, gate: Gate) -> None:
    future, over = alone.submit(errands.hold, *gate.arguments("a")), threading.Event()
    future.add_done_callback(lambda _: (alone.shutdown(), over.set()))
    gate.wait_for("a")
    gate.open()
    assert over.wait(LONG)
    alone.shutdown()
    assert alone._feeder.ended


def test_a_handler_of_a_signal_may_submit_while_its_thread_submits(run: Run) -> None:
    done = run("""
import signal
from tempotask.futures import TempoExecutor

if __name__ == "__main__":
    with TempoExecutor(1) as executor:
        assert executor.submit(abs, -1).result() == 1
        more = []
        signal.signal(signal.SIGALRM, lambda *_: more.append(executor.submit(abs, -2)))
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.0005)
        futures = []
        while len(more) < 1000 or len(futures) < 1000:
            futures.append(executor.submit(abs, -1))
        signal.setitimer(signal.ITIMER_REAL, 0)
        print({future.result() for future in futures}, {future.result() for future in more})
""")
    assert done.stdout == "{1} {2}\n", done.stderr


# -- deaths


def test_a_dead_worker_fails_the_call_that_it_made_and_no_other(alone: TempoExecutor) -> None:
    calls = [alone.submit(errands.die) if number == 20 else alone.submit(abs, -number) for number in range(60)]
    error = calls.pop(20).exception(LONG)
    assert isinstance(error, WorkerCrashed)
    assert "SIGKILL" in error.message
    assert [call.result(LONG) for call in calls] == [number for number in range(60) if number != 20]
    with pytest.raises(WorkerCrashed):
        list(alone.map(errands.die, [signal.SIGSEGV]))
    assert list(alone.map(abs, range(100))) == list(range(100))


def test_a_dead_supervisor_breaks_the_executor_and_all_its_futures(alone: TempoExecutor, gate: Gate) -> None:
    held = alone.submit(errands.hold, *gate.arguments("a"))
    gate.wait_for("a")
    launched = alone._feeder._pool._launch
    assert launched is not None
    launched.signal(signal.SIGKILL)
    with pytest.raises(BrokenExecutor, match="signal 9"):
        held.result(LONG)
    with pytest.raises(BrokenExecutor):
        alone.submit(abs, 1)
    alone.shutdown()
    assert alone._feeder._client.namespace not in namespaces(alone._feeder._client.server.url or "")


def test_the_executor_of_a_forked_parent_refuses_calls(alone: TempoExecutor) -> None:
    child = os.fork()
    if not child:
        try:
            with pytest.raises(RuntimeError, match="another one here"):
                alone.submit(abs, 1)
            alone.shutdown()
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    assert alone.submit(abs, -3).result(LONG) == 3


# -- beginnings


def test_an_initializer_is_called_once_in_each_worker(server_url: str) -> None:
    for pickle in (False, True):
        with TempoExecutor(1, db=server_url, pickle=pickle, initializer=errands.begin, initargs=("x",)) as executor:
            assert [executor.submit(errands.what_begun).result(LONG) for _ in range(3)] == [["x"]] * 3


def test_an_initializer_that_fails_breaks_the_executor(server_url: str) -> None:
    with TempoExecutor(1, db=server_url, initializer=errands.begin_badly) as executor:
        with pytest.raises(BrokenExecutor, match="it can't begin"):
            executor.submit(abs, 1).result(LONG)
        with pytest.raises(BrokenExecutor, match="it can't begin"):
            executor.submit(abs, 1)


def test_a_server_that_is_away_breaks_the_executor_and_all_its_futures(short_path: Path) -> None:
    with TempoExecutor(1, db=f"unix://{short_path}/nothing.sock") as executor:
        futures = [executor.submit(abs, -number) for number in range(3)]
        for future in futures:
            with pytest.raises(BrokenExecutor, match="can't be used"):
                future.result(LONG)


def test_an_initializer_that_cannot_be_sent_is_refused(server_url: str) -> None:
    with pytest.raises(NotImportable):
        TempoExecutor(1, db=server_url, initializer=lambda: None)
    with pytest.raises(InvalidPayload, match="store them in a file and give its name"):
        TempoExecutor(1, db=server_url, initializer=errands.begin, initargs=("x" * 200_000,))


# -- programs

HEAD = """
import os, sys, time
from tempotask.futures import TempoExecutor
class Own(Exception): pass
def double(n): return 2 * n
def fail(n): raise Own(n)
def say(text): time.sleep(0.1); print(text, flush=True)
"""


def test_functions_of_a_script_are_called(run: Run) -> None:
    for pickle in (False, True):
        told = run(f"""{HEAD}
if __name__ == "__main__":
    with TempoExecutor(1, pickle={pickle}) as executor:
        print(list(executor.map(double, range(3))), type(executor.submit(fail, 3).exception()) is Own)
""")
        assert (told.returncode, told.stdout, told.stderr) == (0, "[0, 2, 4] True\n", "")


def test_calls_find_the_command_line_of_the_program_however_long_and_in_whatever_bytes(run: Run) -> None:
    program = f"""{HEAD}
def given(n): return ascii(sys.argv[1]), len(sys.argv)
if __name__ == "__main__":
    with TempoExecutor(1) as executor:
        print(executor.submit(given, 1).result())
"""
    told = run(program, arguments=[b"\xff", *("x" * 100 for _ in range(3000))])
    assert (told.returncode, told.stdout) == (0, """["'\\\\udcff'", 3002]\n"""), told.stderr


def test_a_script_without_a_guard_is_told_of_it(run: Run) -> None:
    told = run(f"""{HEAD}
executor = TempoExecutor(1)
print(executor.submit(double, 1).result())
""")
    assert told.returncode == 1
    assert 'put what submits them under if __name__ == "__main__":' in told.stderr


def test_functions_typed_where_nothing_can_be_imported_are_refused(run: Run) -> None:
    told = run(f"{HEAD}\nTempoExecutor(1).submit(double, 1)", by="-c")
    assert told.returncode == 1
    assert "NotImportable: double was typed at a prompt" in told.stderr
    told = run(f"{HEAD}\nwith TempoExecutor(1) as executor: print(executor.submit(abs, -1).result())", by="-c")
    assert (told.returncode, told.stdout, told.stderr) == (0, "1\n", "")


@pytest.mark.parametrize("end", ["", "executor.shutdown(wait=False)", "del executor", "sys.exit(0)"])
def test_a_program_that_ends_waits_for_what_it_has_submitted(run: Run, end: str) -> None:
    told = run(f"""{HEAD}
if __name__ == "__main__":
    executor = TempoExecutor(1)
    for number in range(3): executor.submit(say, number)
    {end}
""")
    assert (told.returncode, told.stdout.split(), told.stderr) == (0, ["0", "1", "2"], "")


def test_of_a_program_that_was_killed_the_next_one_takes_all_away(server_url: str, gate: Gate) -> None:
    program = f"""
from futures import errands
from tempotask.futures import TempoExecutor
executor = TempoExecutor(1, db={server_url!r})
print(executor._feeder._client.namespace, flush=True)
executor.submit(errands.hold, {str(gate.folder)!r}, "a").result()
"""
    killed = subprocess.Popen(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert killed.stdout is not None
    namespace = killed.stdout.readline().strip()
    gate.wait_for("a")
    family = psutil.Process(killed.pid).children(recursive=True)
    killed.kill()
    killed.wait(LONG)
    killed.stdout.close()
    assert psutil.wait_procs(family, LONG)[1] == []
    assert namespace in namespaces(server_url)
    with TempoExecutor(1, db=server_url) as executor:
        ready(executor)
        wait_until(lambda: namespace not in namespaces(server_url), "what the dead one left is still there")


def test_an_executor_has_the_embedded_server_if_no_other_is_named(tmp_path: Path, short_path: Path) -> None:
    program = (
        "from tempotask.futures import TempoExecutor\nwith TempoExecutor(1) as e: print(e.submit(abs, -1).result())"
    )
    told = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "TEMPOTASK_HOME": str(short_path / "home")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (told.returncode, told.stdout, told.stderr) == (0, "1\n", "")
    assert (short_path / "home").is_dir()


def test_functions_of_a_package_that_is_run_are_called(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "parcel"
    folder.mkdir()
    (folder / "__main__.py").write_text(f"""{HEAD}
if __name__ == "__main__":
    with TempoExecutor(1) as executor:
        print(executor.submit(double, 4).result())
""")
    told = run("", by="-m", module="parcel")
    assert (told.returncode, told.stdout) == (0, "8\n"), told.stderr


@pytest.mark.parametrize("pickle", [False, True])
@pytest.mark.parametrize("by", ["-c", "-"])
def test_functions_of_a_program_without_a_file_are_refused_when_they_are_submitted(
    run: Run, by: str, pickle: bool
) -> None:
    program = f"{HEAD}\nTempoExecutor(1, pickle={pickle}).submit(double, 1)"
    told = run(program, by=by)
    assert told.returncode == 1
    assert "NotImportable: double was typed at a prompt, in a notebook or after -c" in told.stderr
