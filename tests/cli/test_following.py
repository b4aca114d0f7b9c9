"""The commands that follow what happens, with real workers."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator

import pytest
from cli.typed import PROGRAM
from pool.running import LONG, Bench

running: list[subprocess.Popen[str]] = []


@pytest.fixture(autouse=True)
def _all_end() -> Iterator[None]:
    yield
    while running:
        with running.pop() as process:
            process.kill()


class Command:
    """A command that runs, and what it prints."""

    def __init__(self, bench: Bench, *arguments: str) -> None:
        everywhere = ("--db", bench.url, "--namespace", bench.namespace)
        self._process = subprocess.Popen(
            [*PROGRAM, *arguments, *everywhere], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

        running.append(self._process)

    def line(self) -> str:
        """The next line, as soon as it is printed."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().rstrip("\n")

    def wait_for_message(self, text: str) -> None:
        """Waits for a line about itself, which must have this text."""
        assert self._process.stderr is not None
        assert text in self._process.stderr.readline()

    def end(self, number: int | None = None) -> tuple[int, str, str]:
        """Waits for its end, after a signal if one is given: status, the rest of what it prints, errors."""
        if number is not None:
            self._process.send_signal(number)
        out, err = self._process.communicate(timeout=LONG)
        return self._process.returncode, out, err


def test_a_log_is_followed_until_the_job_ends(bench: Bench) -> None:
    bench.start(app="voices:tempotask", workers=1)
    job = bench.manager.enqueue(name="step", queue="q", data=["one", "two", "three"])
    following = Command(bench, "logs", job.id, "--follow")
    as_json = Command(bench, "logs", job.id, "--follow", "--json")
    for word in ("one", "two", "three"):
        assert following.line().endswith(f" {word}")
        told = json.loads(as_json.line())
        assert (sorted(told), told["message"]) == (["at", "message"], word)
        bench.open_gate()
    assert following.end() == (0, "", "")
    assert as_json.end() == (0, "", "")
    over = Command(bench, "logs", job.id, "--follow")
    status, out, _ = over.end()
    assert (status, [line.split()[-1] for line in out.splitlines()]) == (0, ["one", "two", "three"])


def test_following_a_log_ends_well_when_interrupted(bench: Bench) -> None:
    bench.start(app="voices:tempotask", workers=1)
    job = bench.manager.enqueue(name="step", queue="q", data=["one"])
    following = Command(bench, "logs", job.id, "--follow")
    assert following.line().endswith(" one")
    assert following.end(signal.SIGINT) == (0, "", "")
    bench.open_gate()


def test_following_ends_too_when_the_job_fails_or_is_cancelled(bench: Bench) -> None:
    bench.start(app="voices:tempotask", workers=1)
    held = bench.manager.enqueue(name="step", queue="q", data=["held"])
    waits = bench.manager.enqueue(name="echo", queue="q")
    followed = Command(bench, "logs", held.id, "--follow"), Command(bench, "logs", waits.id, "--follow")
    assert followed[0].line().endswith(" held")
    assert waits.cancel()
    assert held.cancel()
    assert [command.end()[0] for command in followed] == [0, 0]


def test_the_log_of_a_job_that_nobody_knows_is_no(bench: Bench) -> None:
    status, out, err = Command(bench, "logs", "nobody").end()
    assert (status, out) == (1, "")
    assert err.startswith("nobody knows a job 'nobody' in namespace")


def test_events_are_followed_until_interrupted(bench: Bench) -> None:
    everything = Command(bench, "events", "--json")
    failures = Command(bench, "events", "--event", "failed", "--event", "retrying", "--queue", "q")
    for command in (everything, failures):
        command.wait_for_message(f"following namespace {bench.namespace}")
    bench.start(app="voices:tempotask", workers=1)
    told = json.loads(everything.line())
    assert (told["event"], told["reason"]) == ("worker", "up")
    job = bench.manager.enqueue(name="echo", queue="q", data=7)
    events = [json.loads(everything.line()) for _ in range(3)]
    assert [event["event"] for event in events] == ["waiting", "started", "completed"]
    assert [(event["id"], event["queue"], event["name"]) for event in events] == [(job.id, "q", "echo")] * 3
    assert events[-1]["result"] == 7
    assert isinstance(events[-1]["at"], float)
    failing = bench.manager.enqueue(name="stumble", queue="q", data=3, options={"attempts": 2})
    bench.open_gate()
    assert f"retrying q/stumble {failing.id} ValueError: attempt 1 again in 0 s" in failures.line()
    assert f"failed q/stumble {failing.id} ValueError: attempt 2" in failures.line()
    assert failures.end(signal.SIGINT) == (0, "", "")
    assert everything.end(signal.SIGINT)[0] == 0
    assert not bench.store.read("EXISTS", "listeners")


def test_an_event_that_does_not_exist_is_bad_use(bench: Bench) -> None:
    status, out, err = Command(bench, "events", "--event", "complete").end()
    assert (status, out) == (2, "")
    assert err == "tempotask: there is no event 'complete'; did you mean 'completed'?\n"
    # Nor is anything subscribed to when one of several is right.
    status, out, err = Command(bench, "events", "--event", "completed", "--event", "nope").end()
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("tempotask: there is no event 'nope'")
