"""The torture as a command: what it lists, refuses and says, and that nothing is left when it is stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from pool.running import wait_until


def environment(folder: Path | None = None) -> dict[str, str]:
    """For the command as a process; what it makes is in the folder."""
    tests = Path(__file__).parent.parent
    return {**os.environ, "PYTHONPATH": str(tests), **({"TMPDIR": str(folder)} if folder else {})}


def command(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env=environment(folder), timeout=100
    )


def test_the_command_lists_the_faults_and_says_what_to_type_instead_of_one_that_is_none() -> None:
    listed = command("-m", "torture", "--list")
    assert listed.returncode == 0
    assert "worker killed" in listed.stdout
    wrong = command("-m", "torture", "quick", "--only", "worker kiled")
    assert wrong.returncode == 2
    assert "did you mean 'worker killed'?" in wrong.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("quick", "--only", ""),
        ("quick", "--only", " , "),
        ("run", "--minutes", "nan"),
        ("run", "--minutes", "inf"),
        ("quick", "--json", "/nowhere/report"),
        ("replies", "--only", ","),
    ],
)
def test_what_would_do_nothing_or_tell_nobody_is_refused_at_once(arguments: tuple[str, ...]) -> None:
    refused = command("-m", "torture", *arguments)
    assert refused.returncode == 2
    assert f"Invalid value for '{arguments[1]}'" in refused.stderr
    assert "seed" not in refused.stdout


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["quick", "replies"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_is_stopped_before_it_is_over_says_so_and_leaves_nothing(
    folder: Path, mode: str, number: signal.Signals
) -> None:
    script = Path(__file__).parent.parent.parent / "scripts" / "torture"
    with subprocess.Popen(
        [script, mode], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(folder)
    ) as run:
        me = psutil.Process(run.pid)

        def servers() -> list[psutil.Process]:
            return [each for each in me.children(recursive=True) if "s.sock" in " ".join(each.cmdline())]

        (server, *_) = wait_until(lambda: attempt(servers), "no server is started")
        run.send_signal(number)
        _, said = run.communicate(timeout=100)
    assert run.returncode == 130
    assert b"stopped" in said
    wait_until(lambda: not server.is_running(), "a server is left")


def attempt(look: Callable[[], list[psutil.Process]]) -> list[psutil.Process]:
    """What is seen; nothing if some of it has just gone."""
    try:
        return look()
    except psutil.Error:
        return []


BRIEF = """
from torture.__main__ import Size, run_campaign
from torture.fault import *

def inject(world):
    {body}
    return Injection()

fault = Fault("one", "process", inject, Setting(supervisors=0, load=False))
run_campaign([fault], 1, None, Size(1, 1), lambda campaign: campaign.once())
"""


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ("pass", 0, "1 fault, 0 jobs: 0 lost, 0 settled twice, 0 wrongly blamed, 0 other"),
        ("raise Violation('the sky is green')", 1, "other: one: the sky is green"),
        ("raise RuntimeError('no hands')", 1, "one could not be injected"),
        ("raise NotHere('no hands')", 0, "not here: no hands"),
        ("world.direct.set(f'{{{world.namespace}}}:nonsense', 1)", 1, "is no key of ours"),
        ("(world.folder / 'tmp').mkdir(); (world.folder / 'tmp' / 'x').touch()", 1, "left behind: file"),
    ],
)
def test_the_exit_status_says_whether_anything_was_found(folder: Path, body: str, status: int, said: str) -> None:
    ended = command("-c", BRIEF.replace("{body}", body), folder=folder)
    assert (ended.returncode, ended.stderr) == (status, "")
    assert said in ended.stdout


@pytest.mark.slow
def test_a_campaign_that_is_stopped_says_what_it_has_found_and_leaves_nothing(folder: Path) -> None:
    arguments = ["-m", "torture", "until-stopped", "--only", "worker killed", "--json", f"{folder}/report"]
    with subprocess.Popen(
        [sys.executable, *arguments], stdout=subprocess.PIPE, text=True, env=environment(folder)
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("seed ")
        me = psutil.Process(process.pid)
        wait_until(lambda: len(me.children(recursive=True)) >= 10, "no world begins")
        process.send_signal(signal.SIGINT)
        assert "0 faults, 0 jobs" in process.stdout.read()
        assert process.wait(100) == 0
    assert json.loads((folder / "report").read_text())["holds"]
    assert not [*folder.glob("torture-*")]
