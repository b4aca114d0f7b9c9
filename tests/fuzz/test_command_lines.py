"""That commands answer whatever is typed: 0 or 1, or 2 with a line or two that say what to type instead."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from fuzz.calls import put
from fuzz.hostile import NUMBERS, damaged, tries
from hypothesis import given
from hypothesis import strategies as st
from store.filled import fill

from tempotask.cli.main import cli, main
from tempotask.store.connect import Server
from tempotask.store.store import Store

NAMESPACE = "t-fuzz-commands"
LONG = ("events", "map", "run-here", "stacks", "top")
"""Commands that go on until they are told to end, run what they are given, or wait for answers."""


@pytest.fixture(scope="module")
def served(server_url: str, admin_url: str) -> Iterator[str]:
    """The URL of a server that holds a namespace with something of everything."""
    store = Store(Server(admin_url, connect_timeout=60), NAMESPACE)
    put(store, {})
    fill(store)
    yield server_url
    put(store, {})
    store.close()


def _options() -> tuple[str, ...]:
    known = {name for command in cli.commands.values() for option in command.params for name in option.opts}
    return tuple(sorted(name for name in known if name.startswith("-") and name not in ("--follow", "-f", "--db")))


JSON = (
    *(
        '{"a": 1}',
        "[1, 2",
        "nan",
        "1e999",
        '"\ud800"',
        "{" * 3000,
        "@",
        "@/nowhere",
        "@/",
        "",
        '{"a": 1} x',
        "9" * 3000,
    ),
    *("a b", "x" * 300, "\x1b[31m", "\udcff", "\n", "--limit=-1", "--limit=0", "0" * 99),
)
KNOWN = ("other", "q", "late", "given-1", "fails", "failed", "waiting", "n", "* * * * *", "2030-01-01", "é")
words = st.one_of(
    st.sampled_from((*_options(), "--what", "--", "-", "-h", "--help", "--yes", "--all")),
    st.sampled_from(KNOWN),
    st.sampled_from((*JSON, *(number[:50] for number in NUMBERS))),
    st.text(alphabet=st.characters(exclude_characters="\x00"), max_size=6).filter(lambda word: word != "--follow"),
)
commands = st.sampled_from(sorted(set(cli.commands) - set(LONG)))


def typed(*arguments: str) -> tuple[int, str]:
    """Runs a command as if it was typed: exit status, and what it said beside its answer."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main(arguments)
    assert isinstance(ended.value.code, int)
    return ended.value.code, err.getvalue()


def answers(status: int, told: str) -> None:
    """Insists on a decent end."""
    assert status in (0, 1, 2)
    assert "Traceback" not in told
    assert len(told) < 50_000
    if status == 2:
        assert 1 <= len(told.splitlines()) <= 2, told


@tries(150)
@given(command=commands, arguments=st.lists(words, max_size=5))
def test_a_command_answers_whatever_is_typed(served: str, command: str, arguments: list[str]) -> None:
    answers(*typed(command, "--db", served, "--namespace", NAMESPACE, *arguments))


@tries(30)
@given(data=st.binary(max_size=30) | damaged(b'{"path": ["a.png", 1.5, null]}'))
def test_data_that_is_no_json_is_refused_in_a_line(
    served: str, tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    file = tmp_path_factory.getbasetemp() / "data"
    file.write_bytes(data)
    answers(*typed("enqueue", "fuzz", "n", "--data", f"@{file}", "--db", served, "--namespace", NAMESPACE))


@pytest.mark.parametrize("url", ["redis://[", "http://localhost", "redis://u:secret@h:99999/0", "rediss://127.0.0.1:1"])
def test_a_command_says_in_a_line_that_its_url_leads_nowhere(url: str) -> None:
    status, told = typed("queues", "--db", url)
    answers(status, told)
    assert status == 2
    assert "secret" not in told


BAD = [
    *(["--lease", "nan"], ["--lease", "inf"], ["--grace", "nan"], ["--concurrency", "1.5"], ["--namespace", "a b"]),
    *(["--namespace", "\udcff"], ["--log-format", "xml"], ["another"], ["--db", "redis://["]),
]


def test_a_supervisor_refuses_in_a_line_what_it_cannot_be_told(served: str, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("from tempotask import QueueManager\ntempotask = QueueManager.init()\n")
    begun = []
    for bad in BAD:
        url = [] if "--db" in bad else ["--db", served]
        command = [sys.executable, "-m", "tempotask.cli.supervisor", "app:tempotask", *url, *bad]
        begun.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=tmp_path))
    for bad, process in zip(BAD, begun, strict=True):
        try:
            _, told = process.communicate(timeout=60)
        finally:
            process.terminate()
        assert process.wait() == 2, (bad, told)
        answers(2, told.decode(errors="replace"))
