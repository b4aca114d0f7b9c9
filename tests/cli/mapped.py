"""`tempotask map` as it is typed, in a folder of the test's own with functions to call."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from cli.typed import PROGRAM
from pool.running import LONG, wait_until

FUNCTIONS = '''
import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import msgspec

from tempotask import JobTimeout


class Row(msgspec.Struct):
    name: str
    size: int = 1


def shout(line):
    return line.upper()

def double(number: int) -> int:
    return 2 * number

def suffix(path: Path) -> str:
    return path.suffix

def raw(line: bytes) -> int:
    return len(line)

def inside(line: str) -> bool:
    """Whether a file of that name can be found: what is no UTF-8 too."""
    return os.path.exists(line)

def name_of(row: Row) -> str:
    return row.name * row.size

async def later(line: str) -> str:
    await asyncio.sleep(0)
    return f"{line} later"

def talk(line: str) -> str:
    print("printed", line)
    os.write(1, b"written\\n")
    return line

def odd(line: dict[str, int]) -> dict[str, object]:
    return {"name": "\\udcff", "score": float("inf")}

def fail(line: str) -> str:
    if line == "bad":
        raise LookupError("no such thing")
    if line == "exit":
        sys.exit("enough")
    return line

def cancelled(line: str) -> str:
    if line == "bad":
        raise asyncio.CancelledError
    return line

async def awaits_cancelled(line: str) -> str:
    return cancelled(line)

def overdue(line: str) -> str:
    if line == "bad":
        raise JobTimeout("of another job")
    return line

def strange(line: str) -> object:
    return object() if line == "strange" else {1: line}

def die(line: str) -> str:
    if line == "killer":
        os.kill(os.getpid(), signal.SIGKILL)
    return line

def fork(line: str) -> str:
    if line == "fork" and os.fork() == 0:
        return "the child's"
    if line == "fork and raise" and os.fork() == 0:
        raise ValueError("the child's")
    return line

def wait(line: str) -> str:
    """Waits for a file, if the line names one; a moment, if it is slow. Notes that it runs."""
    note(f"+{line}")
    if line.startswith("slow"):
        time.sleep(0.03)
    while line.startswith("gate") and not os.path.exists(line):
        time.sleep(0.005)
    return line

def hang(line: str) -> str:
    if line == "long":
        time.sleep(600)
    return line

def second(line: str) -> str:
    """Succeeds at the second try."""
    note(line)
    if Path("notes").read_text().splitlines().count(line) < 2:
        raise OSError("not yet")
    return line

def note(line: str) -> str:
    """One write, so that several processes may note at the same time."""
    file = os.open("notes", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{line}\\n".encode())
    os.close(file)
    return line

def noted_or_held(line: str) -> str:
    note(line)
    while line == "gate" and not os.path.exists("gate"):
        time.sleep(0.01)
    return line

def shape(value) -> str:
    return type(value).__name__

def large(line: str) -> str:
    """A result of so many bytes."""
    return "x" * int(line)

def patient(line: str) -> str:
    """The first one waits until no others are begun any more; all are of 100 kB."""
    note(line)
    if line == "first":
        seen, since = 0, time.monotonic()
        while time.monotonic() - since < 2:
            time.sleep(0.05)
            if (now := len(Path("notes").read_text().splitlines())) > seen:
                seen, since = now, time.monotonic()
        Path("seen").write_text(str(seen))
    return "x" * 100_000

def two(first, second):
    return first

def numbers(line: str):
    yield line

number = 17
'''


class Started:
    """A map that runs."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process

    @property
    def inputs(self) -> IO[bytes]:
        assert self.process.stdin is not None
        return self.process.stdin

    def give(self, *lines: str) -> None:
        """Gives it inputs."""
        self.inputs.write("".join(f"{line}\n" for line in lines).encode())
        self.inputs.flush()

    def row(self) -> dict[str, Any]:
        """The next row of its output."""
        assert self.process.stdout is not None
        row: dict[str, Any] = json.loads(self.process.stdout.readline())
        return row

    def end(self) -> tuple[int, str, str]:
        """Ends its inputs, and waits for its end."""
        out, err = self.process.communicate(timeout=LONG)
        return self.process.returncode, (out or b"").decode(), (err or b"").decode()

    def kill(self) -> None:
        """Kills its whole process group, and waits until its pool is gone too."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.end()


class Maps:
    """Maps in one folder."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.environment = {**os.environ, **environment}
        (folder / "functions.py").write_text(FUNCTIONS)

    def start(self, *arguments: str, **options: Any) -> Started:
        """Starts one; its inputs are given later. Two workers, unless it is said otherwise."""
        workers = () if "-j" in arguments else ("-j", "2")
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        return Started(
            subprocess.Popen(
                [*PROGRAM, "map", *arguments, *workers],
                cwd=self.folder,
                env=self.environment,
                process_group=0,
                **{**pipes, **options},
            )
        )

    def run(self, *arguments: str, inputs: str | bytes = "") -> tuple[int, str, str]:
        """Carries one out: status, output, and what it says."""
        started = self.start(*arguments)
        given = inputs.encode() if isinstance(inputs, str) else inputs
        out, err = started.process.communicate(given, timeout=LONG * 2)
        return started.process.returncode, out.decode(), err.decode()

    def rows(self, name: str) -> list[dict[str, Any]]:
        """What stands in a file."""
        return [json.loads(line) for line in (self.folder / name).read_text().splitlines()]

    def notes(self) -> list[str]:
        """What functions have noted so far."""
        path = self.folder / "notes"
        return path.read_text().splitlines() if path.exists() else []

    def noted(self, what: Callable[[list[str]], bool], why: str) -> None:
        """Waits until they have noted that."""
        wait_until(lambda: what(self.notes()), why)


def lines(*inputs: object) -> str:
    """Inputs, a line each."""
    return "".join(f"{one}\n" for one in inputs)


def rows_of(out: str) -> list[dict[str, Any]]:
    """The rows of an output, by index."""
    return sorted(map(json.loads, out.splitlines()), key=lambda row: row["index"])
