"""The work of the kind $BENCHMARK_KIND, which notes how much of a processor it takes: what all ways do for a job."""

from __future__ import annotations

import os
from typing import Any

from benchmarks.real.kinds import KINDS
from benchmarks.tally import tally

WORK = KINDS[os.environ["BENCHMARK_KIND"]].work


def work(job: Any) -> Any:
    return tally().do(WORK, job)
