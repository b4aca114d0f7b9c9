"""That `tempotask top` leaves nothing behind on the terminal, whatever ends it, and needs one."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from pool.running import LONG, Bench, wait_until
from servers import OwnServer
from top.glass import TOP, Terminal

from tempotask import QueueManager

Open = Callable[..., Terminal]


def test_q_ends_it_and_leaves_the_terminal_as_it_was(opened: Open) -> None:
    terminal = opened()
    terminal.wait_for("no queue has had a job yet")
    assert terminal.glass.alternate
    assert not terminal.glass.cursor
    assert not terminal.is_as_before()
    terminal.type("q")
    assert terminal.end() == 0
    assert terminal.is_as_before()


def test_so_does_ctrl_c(opened: Open) -> None:
    terminal = opened()
    terminal.wait_for("no queue has had a job yet")
    terminal.type("\x03")
    assert terminal.end() == 0
    assert terminal.is_as_before()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_so_does_a_signal_and_the_status_tells_of_it(opened: Open, number: int) -> None:
    terminal = opened()
    terminal.wait_for("no queue has had a job yet")
    terminal.process.send_signal(number)
    assert terminal.end() == 128 + number
    assert terminal.is_as_before()


def test_it_ends_when_its_terminal_is_closed(opened: Open) -> None:
    terminal = opened()
    terminal.wait_for("no queue has had a job yet")
    terminal.hang_up()
    assert terminal.process.wait(LONG) == 128 + signal.SIGHUP


def test_stopped_by_ctrl_z_it_gives_the_terminal_back_until_it_goes_on(bench: Bench) -> None:
    shell = Terminal(["bash", "--norc", "--noediting", "-i"])
    try:
        shell.type(f"{shlex.join(TOP)} --db {bench.url} --namespace {bench.namespace}\n")
        shell.wait_for("no queue has had a job yet")
        shell.type("\x1a")
        shell.wait_for("Stopped")
        assert shell.is_as_before()
        shell.type("fg\n")
        shell.wait_until(lambda text: shell.glass.alternate and "no queue has had a job yet" in text, "screen")
        shell.type("q")
        shell.wait_until(lambda _: not shell.glass.alternate, "end")
        shell.type("exit\n")
        assert shell.end() == 0
        assert shell.is_as_before()
    finally:
        shell.close()


def test_a_server_that_goes_away_is_said_to_and_it_goes_on_when_it_is_back(
    start_server: Callable[..., OwnServer], short_path: Path
) -> None:
    server = start_server("--appendonly", "yes")
    with QueueManager.init(server.url) as manager:
        manager.enqueue(name="a", queue="first")
    terminal = Terminal([*TOP, "--db", server.url])
    try:
        terminal.wait_for("first", without=["no answer"])
        server.kill()
        terminal.wait_for("first", "no answer for")
        terminal.type("p")
        terminal.wait_for("can't be used")
        server.start()
        terminal.wait_for("first", without=["no answer for"])
        with QueueManager.init(server.url) as manager:
            manager.enqueue(name="a", queue="second")
        terminal.wait_for("second")
        server.kill()
        terminal.wait_for("no answer for")
        terminal.type("q")
        assert terminal.end() == 0
        assert terminal.is_as_before()
    finally:
        terminal.close()


@pytest.mark.parametrize("kind", ["dumb", ""])
def test_a_terminal_that_cannot_move_its_cursor_is_told_what_to_type_instead(opened: Open, kind: str) -> None:
    terminal = opened(120, 30, TERM=kind)
    assert terminal.end() == 2
    assert "top --once" in terminal.glass.text
    assert not terminal.glass.unknown
    assert terminal.is_as_before()


def test_without_a_terminal_it_says_what_to_type_instead(bench: Bench) -> None:
    shown = top(bench)
    assert (shown.returncode, shown.stdout) == (2, "")
    assert shown.stderr == "tempotask: top: this is no terminal; `tempotask top --once` prints the tables once\n"


def test_json_is_printed_once(bench: Bench) -> None:
    bench.manager.enqueue(name="job", queue="q")
    shown = top(bench, "--json")
    assert shown.returncode == 0
    assert [json.loads(line)["name"] for line in shown.stdout.splitlines()] == ["q"]


def test_a_server_that_is_out_of_reach_is_said_in_a_line_before_anything_is_shown(tmp_path: Path) -> None:
    terminal = Terminal([*TOP, "--db", f"unix://{tmp_path}/nobody"])
    try:
        assert terminal.end() == 2
        assert f"the server at unix://{tmp_path}"[:60] in terminal.glass.text
        assert terminal.is_as_before()
    finally:
        terminal.close()


# -- once


def top(bench: Bench, *options: str) -> subprocess.CompletedProcess[str]:
    command = [*TOP, "--db", bench.url, "--namespace", bench.namespace, *options]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=LONG, stdin=subprocess.DEVNULL, env={**os.environ, "TZ": "UTC"}
    )


def test_once_prints_the_tables_and_ends(bench: Bench) -> None:
    bench.start(workers=2)
    held = bench.manager.enqueue(name="hold", queue="q")
    _, _, pid = bench.hear()
    failed = bench.manager.enqueue(name="flaky", queue="q", data=9)
    wait_until(lambda: failed.status() == "failed", "it does not fail")

    def complete() -> list[dict[str, object]]:
        # On a busy machine a supervisor may take longer than is waited for.
        shown = top(bench, "--once", "--json")
        return [] if shown.returncode else [json.loads(line) for line in shown.stdout.splitlines()]

    told = wait_until(complete, "the supervisor does not answer")
    queue, *workers, failure = told
    assert [one["kind"] for one in told] == ["queue", "worker", "worker", "failure"]
    assert (queue["name"], queue["waiting"], queue["running"], queue["failed"]) == ("q", 0, 1, 1)
    (busy,) = [worker for worker in workers if worker["state"] == "busy"]
    assert (busy["id"], busy["queue"], busy["name"], busy["pid"]) == (held.id, "q", "hold", int(pid))
    assert (failure["id"], failure["error"]) == (failed.id, "ValueError: attempt 1")
    text = wait_until(lambda: (shown := top(bench, "--once")).returncode == 0 and shown.stdout, "no answer")
    queues, workers_, failures = text.strip().split("\n\n")
    assert queues.split()[:4] == ["queue", "waiting", "running", "rate"]
    assert f"q/hold {held.id}" in workers_
    assert failed.id in failures
    assert "\x1b" not in text
    bench.open_gate()


def test_once_measures_rates(bench: Bench) -> None:
    bench.start(workers=2)
    bench.manager.enqueue_many({"name": "nap", "queue": "q", "data": 0.06} for _ in range(1000))
    shown = top(bench, "--once", "--json")
    queue = json.loads(shown.stdout.splitlines()[0])
    # Two workers end 33 a second at most. What was finished before may be settled in the second looked at, too, and
    # that second may be short.
    assert 1 <= queue["rate"] <= 50


def test_once_says_who_does_not_answer(bench: Bench) -> None:
    supervisor = bench.start(workers=1)
    supervisor.signal(signal.SIGSTOP)
    shown = top(bench, "--once")
    supervisor.signal(signal.SIGCONT)
    assert shown.returncode == 1
    assert "did not answer" in shown.stderr
    assert supervisor.stop() == 0


def test_once_in_an_empty_namespace_prints_the_heads(bench: Bench) -> None:
    shown = top(bench, "--once")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert [line.split()[0] for line in shown.stdout.split("\n\n")] == ["queue", "worker", "failed"]
    assert top(bench, "--once", "--json").stdout == ""
