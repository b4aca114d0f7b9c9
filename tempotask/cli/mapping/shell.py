"""Commands of the shell, with placeholders in the manner of GNU parallel."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from typing import Any

import msgspec

from tempotask.cli.mapping import rows

PLACEHOLDERS = re.compile(r"\{(?:|\.|/|//|/\.|#)\}")
_EXTENSION = re.compile(r"\.[^/.]*$")


class ExitStatus(Exception):
    """A command that did not end with 0."""

    def __init__(self, status: int, out: str, err: str) -> None:
        # On one line, the last that it said.
        last = next((line for line in reversed((err or out).splitlines()) if line.strip()), "")
        super().__init__(f"{status}" + (f": {last}" if last else ""))
        self.told = {"exit": status, "stdout": out, "stderr": err}


class ShellCommand:
    """Runs a command for an input, and writes the row of what it printed."""

    is_async = False

    def __init__(self, template: str, *, bare: bool) -> None:
        self._template = template if PLACEHOLDERS.search(template) else f"{template} {{}}"
        self._bare = bare

    def begin(self, index: int, line: bytes) -> tuple[bytes, bytes]:
        """What it printed to its standard output and error stream. Raises `ExitStatus` if it does not end with 0."""
        process = subprocess.Popen(
            ["/bin/sh", "-c", filled(self._template, rows.text_of(line), index)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        with process:
            try:
                out, err = process.communicate()
            except BaseException:
                # The time is over. What it has started itself goes with this worker's process group.
                process.kill()
                raise
        if process.returncode:
            raise ExitStatus(process.returncode, _text(out), _text(err))
        return out, err

    def row(self, index: int, line: bytes, value: tuple[bytes, bytes]) -> bytes:
        """What it printed, alone or in a row."""
        out, err = value
        if self._bare:
            return out
        told = msgspec.json.encode({"exit": 0, "stdout": _text(out), "stderr": _text(err)})
        return b'{"index":%d,"input":%b,%b\n' % (index, rows.input_of(line, jsonl=False), told[1:])

    def more(self, error: BaseException) -> dict[str, Any]:
        """What a failure has to tell beside its text."""
        return error.told if isinstance(error, ExitStatus) else {}


def filled(template: str, value: str, index: int) -> str:
    """The command for one input. Values are quoted for the shell."""

    def put(match: re.Match[str]) -> str:
        kind = match[0][1:-1]
        return str(index + 1) if kind == "#" else shlex.quote(_part(kind, value))

    return PLACEHOLDERS.sub(put, template)


def _part(kind: str, value: str) -> str:
    if kind == "//":
        return os.path.dirname(value.rstrip("/") or value) or "."
    part = os.path.basename(value) if kind.startswith("/") else value
    return _EXTENSION.sub("", part) if kind.endswith(".") else part


def _text(printed: bytes) -> str:
    return printed.decode(errors="replace")
