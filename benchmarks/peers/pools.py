"""The peers that keep their jobs in memory: pools of processes that go, with all that waits, when their program ends.

A pool is handed its jobs by the program that wants them done, so handing out is part of the time, and results come
back to it. Each is given `abs` and a number, the least that it can be given; ours brings 30 bytes of payload.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from benchmarks.harness import WORKERS
from benchmarks.peers.environment import APPS, Environment, run

ONE = "1"
"""The size of a chunk of one job: each job is a call."""
SIZES = ("100", "1000", "10000")


@dataclass(frozen=True)
class Pool:
    """One pool. Its application (apps/) starts it and puts the jobs through."""

    environment: Environment
    jobs: int
    """So many, one a call, take some seconds."""
    times: int
    """So many times as many take about as long in chunks."""
    sizes: tuple[str, ...] = SIZES
    """Sizes of chunks; the fastest counts."""

    @property
    def name(self) -> str:
        return self.environment.name

    @property
    def commands(self) -> dict[str, list[str]]:
        """How it is set up, for the file of results."""
        return {f"chunks of {size}": [" ".join(self._command("{bin}/python", size))] for size in (ONE, *self.sizes)}

    @property
    def installed(self) -> bool:
        return self.environment.installed

    def install(self) -> str:
        """Installs it unless it is installed, and returns its version. Raises NotInstalled."""
        return self.environment.install()

    def drain(self, size: str, count: int) -> float:
        """Jobs a second in chunks of that size, from the first that is handed out until the last result is there."""
        told = run([*self._command(self.environment.python, size), str(count)], APPS)
        return count / float(json.loads(told.splitlines()[-1])["seconds"])

    def _command(self, python: str, size: str) -> tuple[str, ...]:
        return (python, "put_through.py", f"with_{self.name}", str(WORKERS), size)


POOLS = {
    pool.name: pool
    for pool in (
        Pool(Environment("pool"), 200_000, 20),
        Pool(Environment("executor"), 40_000, 20),
        Pool(Environment("joblib", ("joblib",)), 20_000, 20, ("auto", *SIZES)),
        Pool(Environment("dask", ("distributed",)), 4_000, 100),
    )
}
