"""`tempotask run-here`, of jobs that a supervisor runs or has run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pool.running import APPS, LONG, PIPES, Bench

from tempotask import JobFailed
from tempotask.store.store import Store


def run_here(bench: Bench, id: str, *options: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Types the command in that folder."""
    names = {name: str(bench.folder / name.removeprefix("TEST_").lower()) for name in PIPES}
    command = [sys.executable, "-m", "tempotask.cli", "run-here", id, "--db", bench.url]
    return subprocess.run(
        [*command, "--namespace", bench.namespace, *options],
        cwd=folder,
        env={**os.environ, **names},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def dumped(admin: Store) -> dict[bytes, tuple[bytes, bool]]:
    """All that the server holds of the namespace: the content of each key, and whether it is to go by itself. Without
    the mark of who has looked a moment ago."""
    client = admin.server.client()
    keys = set(client.scan_iter(f"{admin.prefix}*", count=10_000)) - {f"{admin.prefix}asked".encode()}
    return {key: (client.dump(key), client.ttl(key) >= 0) for key in keys}


def test_it_finds_the_application_that_a_live_supervisor_runs(bench: Bench, tmp_path: Path) -> None:
    bench.start()
    handle = bench.manager.enqueue(name="echo", queue="q", data=[1, 2])
    assert handle.result(LONG) == [1, 2]
    before = handle.info()
    ended = run_here(bench, handle.id, folder=tmp_path)
    assert (ended.returncode, ended.stdout) == (0, "[1, 2]\n"), ended.stderr
    assert handle.info() == before


@pytest.mark.parametrize(("name", "attempt", "children"), [("summarise", 2, 1), ("asummarise", 1, 2)])
@pytest.mark.parametrize("size", [10, 100_000])
def test_a_failed_job_fails_again_as_it_did_and_nothing_changes(
    bench: Bench, admin: Store, name: str, attempt: int, children: int, size: int
) -> None:
    """The large payload is kept beside the record."""
    supervisor = bench.start(app="failing:tempotask", workers=1)
    row = {"day": "2026-02-03", "cells": [1, 2, 6], "text": "x" * size}
    handle = bench.manager.enqueue(name=name, queue="q", data=row, options={"priority": -1})
    with pytest.raises(JobFailed) as failure:
        handle.result(LONG)
    assert supervisor.stop() == 0
    # Whoever looks first has the outcomes spread.
    handle.info()
    before = dumped(admin)
    ended = run_here(bench, handle.id, "--app", "failing:tempotask", folder=APPS)
    assert ended.returncode == 1
    assert dumped(admin) == before
    assert ended.stderr.endswith(f"ValueError: {size} characters, 3.0\n")
    assert failure.value.message == f"{size} characters, 3.0"
    assert f"logged: try {attempt} of 03 February\n" in ended.stderr
    assert ended.stderr.count("not added: p/note ") == children


def test_a_job_that_runs_right_now_is_run_beside_itself(bench: Bench) -> None:
    bench.start(workers=1)
    handle = bench.manager.enqueue(name="hold", queue="q")
    bench.hear()
    bench.open_gate(2)
    ended = run_here(bench, handle.id, folder=APPS)
    assert (ended.returncode, ended.stdout) == (0, "1\n"), ended.stderr
    assert handle.result(LONG) == 1
