"""The kinds of real work, each in two grains: many short jobs, and fewer long ones.

A kind is a module of this folder with two functions. `make(folder, count, size)` makes so many jobs, and the data that
they read, the same each time; `work(job)` does one. What goes in and comes out is plain data.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Work = Callable[[Any], Any]


@dataclass(frozen=True)
class Grain:
    """So many jobs, about as long as each other; what `size` counts is the kind's own."""

    count: int
    size: int
    what: str
    """What the jobs are of, for the table."""


@dataclass(frozen=True)
class Kind:
    """One kind; its module has its name."""

    name: str
    what: str
    grains: tuple[Grain, Grain]
    library: str = ""
    """What it needs beside Python, as pip knows it."""

    def jobs(self, folder: Path, grain: Grain, count: int) -> list[Any]:
        """So many jobs of that grain; what they read is put into the folder."""
        made: list[Any] = self._module().make(folder, count, grain.size)
        return made

    @property
    def work(self) -> Work:
        """Does one job."""
        work: Work = self._module().work
        return work

    def _module(self) -> Any:
        # Only where it is run: its library is in an environment of its own.
        return importlib.import_module(f"benchmarks.real.{self.name}")


KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            "files",
            "hash and compress",
            (Grain(10_000, 16 << 10, "files of 16 KiB"), Grain(160, 1 << 20, "files of 1 MiB")),
        ),
        Kind(
            "logs",
            "search with re in",
            (Grain(6_000, 200, "logs of 200 lines"), Grain(100, 16_000, "logs of 16,000 lines")),
        ),
        Kind(
            "pictures",
            "make thumbnails of",
            (Grain(3_000, 320, "pictures 320 wide"), Grain(160, 2_400, "pictures 2,400 wide")),
            "pillow",
        ),
        Kind(
            "matrices",
            "multiply",
            (Grain(8_000, 128, "matrices of 128 × 128"), Grain(100, 700, "matrices of 700 × 700")),  # noqa: RUF001
            "numpy",
        ),
        Kind(
            "fits",
            "fit a logistic regression to",
            (Grain(1_500, 200, "samples of 200 rows"), Grain(80, 20_000, "samples of 20,000 rows")),
            "scikit-learn",
        ),
    )
}
