"""Does what a page says, as its reader would: in a new folder, with a server of its own, from top to bottom.

- A ```python block whose first line is `# name.py` is a file. Any other one is typed at a Python prompt that stays
  open: see `session.py`.
- A ```sh block is typed line by line. What does not end by itself (a supervisor, a line with `&` at its end) goes on
  in another terminal until the page is read; `# exits with 1` says that a command is meant to.
- A ```text block is what the block before it prints, and what it says of its mistake: see `shape.py`. Of a command that
  ends well it is the standard output, or what it says beside it, if that is empty.
- A ```conf, ```dockerfile or ```ini block is a file for another program; `test_services.py` looks into it.
- A block without a language is a picture.
- A block under a comment `<!-- not run: why -->` is left out.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from docs.shape import looks_like

LONG = 60.0
"""Seconds that nothing takes, on however busy a machine."""
BIN = Path(sys.executable).parent
BLOCK = re.compile(r"^(?:<!-- not run: ([^\n]+) -->\n)?```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
FILE = re.compile(r"# ([\w/]+\.py)\n")
STATUS = re.compile(r"\s+# exits with (\d)$")


@dataclass
class Terminal:
    """A command that goes on while the page is read."""

    line: str
    process: subprocess.Popen[bytes]
    output: Path
    promised: str | None = None

    @property
    def seen(self) -> str:
        return self.output.read_text()

    def wait_for(self, promised: str) -> None:
        end = time.monotonic() + LONG
        while not looks_like(self.seen, promised):
            assert self.process.poll() is None, f"{self.line} ended with {self.process.returncode}:\n{self.seen}"
            assert time.monotonic() < end, f"{self.line} printed\n{self.seen}\nand not\n{promised}"
            time.sleep(0.01)


@dataclass
class Reader:
    """Reads one page."""

    folder: Path
    environment: dict[str, str]
    terminals: list[Terminal] = field(default_factory=list)
    _prompt: subprocess.Popen[str] | None = None

    def read(self, text: str) -> None:
        """Does what the blocks say, to the end. Raises `AssertionError` for all that does not work as it is written."""
        wrong: list[str] = []
        seen: str | Terminal | None = None
        for why_not, language, code in BLOCK.findall(text):
            try:
                seen = None if why_not else self._do(language, code, seen)
            except AssertionError as error:
                seen = None
                wrong.append(str(error))
        for terminal in self.terminals:
            if terminal.promised is not None:
                terminal.wait_for(terminal.promised)
        assert not wrong, "\n\n".join(wrong)

    def close(self) -> None:
        """Leaves the prompt and stops what still runs, gently; all must end well."""
        statuses = {}
        if self._prompt is not None:
            assert self._prompt.stdin is not None
            self._prompt.stdin.close()
            statuses["the prompt"] = self._prompt.wait(LONG)
        for terminal in self.terminals:
            if terminal.process.poll() is None:
                terminal.process.send_signal(signal.SIGINT)
            statuses[terminal.line] = terminal.process.wait(LONG)
        assert not any(statuses.values()), statuses

    def kill(self) -> None:
        """Ends what `close` has not."""
        for process in (self._prompt, *(terminal.process for terminal in self.terminals)):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()

    def _compare(self, seen: str | Terminal | None, promised: str) -> str | Terminal | None:
        assert seen is not None, f"nobody prints {promised}"
        if isinstance(seen, Terminal):
            seen.promised = promised
            # Its first line says that it is there; what it is to print may be caused by the blocks that follow.
            seen.wait_for(promised.partition("\n")[0] + "\n…")
        elif seen == "prompt":
            self._printed(promised)
        else:
            assert looks_like(seen, promised), f"printed is\n{seen}\nand not\n{promised}"
        return seen

    def _do(self, language: str, code: str, seen: str | Terminal | None) -> str | Terminal | None:
        """What the block prints, or who is going to; `seen` is that of the block before."""
        if language == "text":
            return self._compare(seen, code)
        if language == "sh":
            return self._type(code)
        if language == "python" and (named := FILE.match(code)):
            (self.folder / named[1]).write_text(code)
        elif language == "python":
            self._ask(code)
            return "prompt"
        return None

    # -- the shell

    def _type(self, block: str) -> str | Terminal | None:
        """What the last command printed, or that command, when it goes on."""
        seen: str | Terminal | None = None
        for line in block.replace("\\\n", " ").splitlines():
            if not line or line.startswith("#"):
                continue
            goes_on = line.startswith("tempotask-supervisor") and "--drain" not in line and "--help" not in line
            seen = self._begin(line.removesuffix("&")) if goes_on or line.endswith("&") else self._run(line)
        return seen

    def _run(self, line: str) -> str:
        status = STATUS.search(line)
        ended = subprocess.run(
            ["sh", "-c", line], cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=LONG, check=False,
        )  # fmt: skip
        expected = int(status[1]) if status else 0
        both = ended.stdout + ended.stderr
        assert ended.returncode == expected, f"{line} exits with {ended.returncode}:\n{both}"
        return both if status or not ended.stdout else ended.stdout

    def _begin(self, line: str) -> Terminal:
        output = self.folder / f"terminal-{len(self.terminals)}.log"
        with output.open("wb") as file:
            process = subprocess.Popen(
                ["sh", "-c", f"exec {line}"], cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL,
                stdout=file, stderr=subprocess.STDOUT,
            )  # fmt: skip
        terminal = Terminal(line, process, output)
        self.terminals.append(terminal)
        if "tempotask-supervisor" in line:
            terminal.wait_for("…\n… ready: …\n…")
        return terminal

    # -- the prompt

    def _ask(self, code: str | None) -> str:
        """Lets the prompt run a snippet, or nothing; what has been printed since the last snippet."""
        if self._prompt is None:
            self._prompt = subprocess.Popen(
                [sys.executable, "-m", "docs.session"], cwd=self.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                text=True, env={**self.environment, "PYTHONPATH": str(Path(__file__).parents[1])},
            )  # fmt: skip
        assert self._prompt.stdin is not None
        assert self._prompt.stdout is not None
        print(json.dumps(code), file=self._prompt.stdin, flush=True)
        line = self._prompt.stdout.readline()
        assert line, f"the prompt ended with status {self._prompt.wait(LONG)} in\n{code}"
        answer = json.loads(line)
        assert answer["error"] is None, f"{code}\n{answer['error']}"
        return str(answer["printed"])

    def _printed(self, promised: str) -> None:
        end = time.monotonic() + LONG
        while not looks_like(printed := self._ask(None), promised):
            assert time.monotonic() < end, f"printed is\n{printed}\nand not\n{promised}"
            time.sleep(0.01)


def environment(server: str | None) -> dict[str, str]:
    """A reader's: the commands are on the PATH, and a server is named; without one, theirs is the embedded server."""
    named = {} if server is None else {"TEMPOTASK_DB": server}
    mine = {name: value for name, value in os.environ.items() if not name.startswith("TEMPOTASK_")}
    return {**mine, **named, "PATH": f"{BIN}{os.pathsep}{mine['PATH']}", "PYTHONDONTWRITEBYTECODE": "1"}
