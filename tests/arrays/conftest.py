"""Folders of the test's own for the files of arrays, and what lies in them."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from arrays.room import Room
from pool.running import Bench

from tempotask import shelf

pytest.importorskip("numpy")


@pytest.fixture
def shm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Room:
    """Stands for shared memory, in this process."""
    folder = tmp_path / "shm"
    folder.mkdir()
    monkeypatch.setattr(shelf, "SHM", folder)
    return Room(folder)


@pytest.fixture
def tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Room:
    """Stands for the folder of temporary files, in this process."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(shelf.tempfile, "tempdir", str(folder))
    return Room(folder)


@pytest.fixture
def ours(namespace: str, bench: Bench) -> Iterator[Callable[..., list[Path]]]:
    """The files in real shared memory that are of the test's namespace, by kind. They go with the test."""
    folder = shelf.SHM / f"tempotask-{os.geteuid()}"

    def files(kind: str = "") -> list[Path]:
        gc.collect()
        return [path for path in folder.glob(f"{namespace}-*/*") if path.name.startswith(kind)]

    yield files
    bench.manager.close()
    for path in files():
        shelf.remove_link(path)
    assert not list(folder.glob(f"{namespace}-*")), "an empty folder is left"
