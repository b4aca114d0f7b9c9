"""`tempotask run-here` and the debugger, on a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tempotask import QueueManager

APP = """
import asyncio
from dataclasses import dataclass
from tempotask import Context, Job, QueueManager

tempotask = QueueManager.init()

@dataclass
class Row:
    width: int

@tempotask.task(queue="q")
def area(job: Job[Row], ctx: Context) -> int:
    return scale(job.data.width)

def scale(width: int) -> int:
    factor = 7
    return width // (factor - 7)

@tempotask.task(queue="q")
async def aarea(job: Job[Row], ctx: Context) -> int:
    await asyncio.sleep(0)
    return scale(job.data.width)

@tempotask.task(queue="q", timeout=0.001)
def stop(job: Job[int], ctx: Context) -> int:
    breakpoint()
    return job.data

@tempotask.task(queue="q", timeout=0.001)
async def astop(job: Job[int], ctx: Context) -> int:
    breakpoint()
    await asyncio.sleep(0)
    return job.data

@tempotask.task(queue="q")
def loop(job: Job[int], ctx: Context) -> None:
    turns = 1
    print("looping", flush=True)
    while True:
        turns += 1

@tempotask.task(queue="q")
async def aloop(job: Job[int], ctx: Context) -> None:
    turns = 1
    asyncio.get_running_loop().call_soon(lambda: print("looping", flush=True))
    await asyncio.Event().wait()
"""


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self._ours, theirs = pty.openpty()
        self.seen = b""
        # A Ctrl-C goes to the foreground of the terminal that a session controls.
        program = f"fcntl.ioctl(0, termios.TIOCSCTTY); os.execv({sys.executable!r}, {command!r})"
        take = f"import fcntl, os, termios; {program}"
        self.process = subprocess.Popen(
            [sys.executable, "-c", take],
            cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        )  # fmt: skip
        os.close(theirs)

    def until(self, text: str) -> str:
        """Reads until it has printed this, which counts as read; what was before it."""
        while text.encode() not in self.seen:
            try:
                self.seen += os.read(self._ours, 4096)
            except OSError:
                raise AssertionError(f"it ended with {self.seen.decode()!r}, without {text!r}") from None
        before, _, self.seen = self.seen.partition(text.encode())
        return before.decode()

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def close(self) -> None:
        os.close(self._ours)
        self.process.kill()
        self.process.wait()


@pytest.fixture
def typed(server_url: str, namespace: str, tmp_path: Path) -> Callable[..., list[str]]:
    """The command for a job, in the application's folder."""
    (tmp_path / "app.py").write_text(APP)

    def typed(id: str, *options: str) -> list[str]:
        where = ["--db", server_url, "--namespace", namespace, "--app", "app:tempotask"]
        return [sys.executable, "-m", "tempotask.cli", "run-here", id, *where, *options]

    return typed


@pytest.fixture
def open_terminal(typed: Callable[..., list[str]], tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    """Types the command for a job."""
    opened: list[Terminal] = []

    def open_terminal(id: str, *options: str) -> Terminal:
        opened.append(Terminal(typed(id, *options), tmp_path))
        return opened[-1]

    yield open_terminal
    for terminal in opened:
        terminal.close()


Open = Callable[..., Terminal]


@pytest.mark.parametrize("name", ["stop", "astop"])
def test_breakpoint_stops_in_the_handler_and_no_time_limit_hits_it(
    manager: QueueManager[Any], open_terminal: Open, name: str
) -> None:
    terminal = open_terminal(manager.enqueue(name=name, queue="q", data=7).id)
    terminal.until("(Pdb)")
    terminal.type("p job.data * 6\n")
    terminal.until("\n42")
    terminal.type("c\n")
    terminal.until("\n7\r\n")
    assert terminal.process.wait(60) == 0


@pytest.mark.parametrize("name", ["stop", "astop"])
@pytest.mark.parametrize("options", [(), ("--pdb",)])
def test_who_leaves_the_debugger_leaves_the_command(
    manager: QueueManager[Any], open_terminal: Open, name: str, options: tuple[str, ...]
) -> None:
    terminal = open_terminal(manager.enqueue(name=name, queue="q", data=7).id, *options)
    terminal.until("(Pdb)")
    terminal.type("q\n")
    assert terminal.process.wait(60) == 130


@pytest.mark.parametrize("name", ["area", "aarea"])
def test_the_debugger_opens_where_the_handler_failed(
    manager: QueueManager[Any], open_terminal: Open, name: str
) -> None:
    handle = manager.enqueue(name=name, queue="q", data={"width": 5})
    terminal = open_terminal(handle.id, "--pdb")
    assert "ZeroDivisionError" in terminal.until("(Pdb)"), "the traceback comes first"
    terminal.type("p width, factor\n")
    terminal.until("(5, 7)")
    terminal.type("u\n")
    terminal.until("return scale(job.data.width)")
    terminal.type("p job.data\n")
    terminal.until("Row(width=5)")
    terminal.type("q\n")
    assert terminal.process.wait(60) == 1
    assert handle.status() == "waiting"


@pytest.mark.parametrize("name", ["loop", "aloop"])
def test_the_debugger_opens_where_the_handler_was_when_ctrl_c_was_pressed(
    manager: QueueManager[Any], open_terminal: Open, name: str
) -> None:
    terminal = open_terminal(manager.enqueue(name=name, queue="q", data=1).id, "--pdb")
    terminal.until("looping")
    terminal.type("\x03")
    assert "KeyboardInterrupt" in terminal.until("(Pdb)")
    # What waits in a loop is called by the handler; above the other one is nothing.
    terminal.type("u\n")
    terminal.type("p turns > 0\n")
    terminal.until("True")
    terminal.type("q\n")
    assert terminal.process.wait(60) == 130


def test_a_handler_that_completes_needs_no_debugger(manager: QueueManager[Any], open_terminal: Open) -> None:
    terminal = open_terminal(manager.enqueue(name="astop", queue="q", data=7).id, "--pdb")
    terminal.until("(Pdb)")
    terminal.type("c\n")
    assert "(Pdb)" not in terminal.until("\n7\r\n")
    assert terminal.process.wait(60) == 0


def test_where_there_is_nothing_to_look_into_no_debugger_opens(
    manager: QueueManager[Any], typed: Callable[..., list[str]], tmp_path: Path
) -> None:
    handle = manager.enqueue(name="area", queue="q", data={"width": "wide"})
    ended = subprocess.run(
        typed(handle.id, "--pdb"), cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.endswith("InvalidPayload: the data does not fit: Expected `int`, got `str` - at `$.width`\n")


def test_the_debugger_can_be_told_what_to_do_by_a_script(
    manager: QueueManager[Any], typed: Callable[..., list[str]], tmp_path: Path
) -> None:
    handle = manager.enqueue(name="area", queue="q", data={"width": 5})
    ended = subprocess.run(
        typed(handle.id, "--pdb"), cwd=tmp_path, input="p width + 1\n", capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 1
    assert "(Pdb) 6\n" in ended.stdout
