"""`tempotask run-here` beside a supervisor that declares the task."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from pool.running import PIPES, Bench


def test_it_finds_the_application_that_a_live_supervisor_runs(bench: Bench, tmp_path: Path) -> None:
    bench.start()
    handle = bench.manager.enqueue(name="echo", queue="q", data=[1, 2])
    assert handle.result(60) == [1, 2]
    before = handle.info()
    command = [sys.executable, "-m", "tempotask.cli.main", "run-here", handle.id]
    names = {name: str(tmp_path / name.removeprefix("TEST_").lower()) for name in PIPES}
    ended = subprocess.run(
        [*command, "--db", bench.url, "--namespace", bench.namespace],
        cwd=tmp_path,
        env={**os.environ, **names},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (0, "[1, 2]\n"), ended.stderr
    assert handle.info() == before
