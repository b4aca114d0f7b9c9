"""What README.md shows, typed into a new folder and run; and that it names what there is."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from tempotask import JobOptions, Options
from tempotask.cli.supervise import command as supervisor_command

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
DOCUMENTS = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted(ROOT.glob("docs/*.md"))
BIN = Path(sys.executable).parent


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def section(title: str) -> str:
    """The text under a heading."""
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def words(text: str) -> set[str]:
    """What stands between backticks."""
    return set(re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL)))


@pytest.fixture
def folder(short_path: Path) -> Path:
    """A new folder that holds the files of README."""
    for block in blocks("python"):
        first, _, _ = block.partition("\n")
        (short_path / first.removeprefix("# ")).write_text(block)
    return short_path


@pytest.fixture
def environment() -> dict[str, str]:
    """The user's: the commands are on the PATH, and nothing names a server."""
    return {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "PYTHONDONTWRITEBYTECODE": "1"}


@pytest.fixture
def supervisor(folder: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """The second step of the first application."""
    (line,) = [block for block in blocks("sh") if block.startswith("tempotask-supervisor")]
    process = subprocess.Popen(shlex.split(line), cwd=folder, env=environment)
    yield process
    if process.poll() is None:
        process.kill()
    process.wait()


def run(line: str, folder: Path, environment: dict[str, str]) -> str:
    """What a command prints; it must end well."""
    ended = subprocess.run(
        shlex.split(line), cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=100, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, f"{line}\n{ended.stdout}{ended.stderr}"
    return ended.stdout


def test_the_first_application_works_as_it_is_typed(
    folder: Path, environment: dict[str, str], supervisor: subprocess.Popen[bytes]
) -> None:
    assert re.fullmatch(r"\d\d% of app.py is left\n", run("python ask.py", folder, environment))
    printed = run("python lines.py", folder, environment)
    assert re.fullmatch(r"0\.\d+ \[0\.\d+, 0\.\d+\]\n\d+\.\d+\nTrue True\n\[\]\n", printed)
    lines = run("python batch.py", folder, environment).splitlines()
    assert len(lines) == 102
    assert any(line.startswith("mine ") for line in lines)
    assert lines[-1].endswith("% is left on average")

    (commands,) = [block for block in blocks("sh") if block.startswith("tempotask ")]
    printed = {line: run(line, folder, environment) for line in commands.splitlines()}
    shown = {line.split()[1]: text for line, text in printed.items()}
    assert shown["enqueue"] == "first\n"
    assert "files" in shown["queues"]
    assert len(shown["jobs"].splitlines()) == 6
    assert "compress" in shown["job"]
    assert shown["check"].endswith("all is right\n")
    assert '"embedded":true' in shown["server"].replace(" ", "")

    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(100) == 0


def test_the_one_line_works_as_it_is_typed_and_goes_on_when_it_is_typed_again(
    folder: Path, environment: dict[str, str]
) -> None:
    (line,) = [block for block in blocks("sh") if block.startswith("find ")]
    for _ in range(2):
        typed = ["bash", "-c", f"set -o pipefail; {line}"]
        subprocess.run(typed, cwd=folder, env=environment, stdin=subprocess.DEVNULL, check=True, timeout=100)
        rows = [json.loads(row) for row in (folder / "counts.jsonl").read_text().splitlines()]
        assert sorted(row["input"] for row in rows) == sorted(f"./{file.name}" for file in folder.glob("*.py"))
        assert all(row["result"] == len((folder / row["input"]).read_text().split()) for row in rows)


def test_the_program_that_runs_its_own_pool_works_as_it_is_typed(folder: Path, environment: dict[str, str]) -> None:
    assert run("python shop.py", folder, environment) == "7\n"
    queues = run("tempotask queues --namespace shop", folder, environment)
    for queue in ("orders", "mail", "statistics"):
        assert queue in queues
    assert run("tempotask check --namespace shop", folder, environment).endswith("all is right\n")


def test_every_option_is_named_and_no_other() -> None:
    rows = re.findall(r"^\| (`.*?) \|", section("Options"), re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert named == [field.name for field in (*fields(JobOptions), *fields(Options))]


def test_every_option_of_the_supervisor_is_named() -> None:
    visible = [option for option in supervisor_command.params if not getattr(option, "hidden", True)]
    for option in visible:
        if option.name == "version":
            continue
        assert any(word.split()[0] == option.opts[0] for word in words(section("Commands"))), option.opts[0]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_and_files_that_the_documents_name_exist(document: Path) -> None:
    text = document.read_text()
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    for link in links:
        assert (document.parent / link).exists(), link
    named = re.findall(r"`((?:tempotask|tests|scripts|benchmarks|docs)/[\w./]*)`", text)
    for path in named:
        assert (ROOT / path).exists(), path
