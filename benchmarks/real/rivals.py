"""What our way to do real work is held against, and the environment that all of them run in, ours too."""

from __future__ import annotations

import platform
from dataclasses import dataclass

from benchmarks.harness import ROOT
from benchmarks.peers.environment import Environment, run

ENVIRONMENT = Environment("real", ("joblib", "--editable", str(ROOT)))
ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
"""The workers share the cores; their libraries must not."""
CHUNKS = (1, 8, 64)
PARTS = 8
"""One more size: so many chunks in all, four for each process, which is what `Pool.map` takes by itself."""


def chunks_of(count: int) -> list[int]:
    """Sizes of chunks to be tried for so many jobs."""
    sizes = {chunk for chunk in CHUNKS if chunk * PARTS < count}
    return sorted({*sizes, -(-count // PARTS)})


@dataclass(frozen=True)
class Rival:
    """One of ways.py."""

    name: str
    chunked: bool = True
    """Whether it is told the size of chunks; the fastest counts."""
    in_memory: bool = True

    def chunks(self, count: int) -> list[int]:
        """Sizes to be tried for so many jobs."""
        if not self.chunked:
            return [1]
        if not self.in_memory:
            # Each chunk is a process to start.
            return [-(-count // parts) for parts in (PARTS // 4, PARTS)]
        return chunks_of(count)

    @property
    def commands(self) -> dict[str, list[str]]:
        """How it is set up, for the file of results."""
        return {"real work": [f"BENCHMARK_KIND=KIND python -m benchmarks.real.driver {self.name}"]}

    @property
    def installed(self) -> bool:
        return ENVIRONMENT.installed

    def install(self) -> str:
        """Installs it unless it is installed, and returns its version. Raises NotInstalled."""
        joblib = ENVIRONMENT.install()
        if not self.in_memory:
            return run([self.name, "--version"], ENVIRONMENT.home).split("\n")[0].split()[-1]
        return platform.python_version() if self.chunked else joblib


RIVALS = {
    rival.name: rival
    for rival in (
        Rival("pool"),
        Rival("executor"),
        Rival("joblib", chunked=False),
        Rival("parallel", in_memory=False),
    )
}


def add(library: str) -> str:
    """Installs a library into the environment unless it is there, and returns its version. Raises NotInstalled."""
    run([ENVIRONMENT.python, "-m", "pip", "install", "--quiet", library], ENVIRONMENT.home)
    code = f"import importlib.metadata as m; print(m.version({library!r}))"
    return run([ENVIRONMENT.python, "-c", code], ENVIRONMENT.home).strip()
