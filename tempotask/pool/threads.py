"""How many threads the numeric libraries of a worker start: one, unless the environment says otherwise.

The workers fill the cores. With as many threads in each, they would fight for them, and be slower than with one.
"""

from __future__ import annotations

from collections.abc import MutableMapping

NAMES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
"""What OpenMP, the BLAS libraries and numexpr look at when they are loaded."""


def limit(environment: MutableMapping[str, str]) -> None:
    """Sets what is not set: to what `OMP_NUM_THREADS` says, or to 1. To be called before the libraries are loaded."""
    # OpenMP takes a number for each level of nesting; the others want one.
    usual = environment.get("OMP_NUM_THREADS", "").partition(",")[0].strip() or "1"
    for name in NAMES:
        if not environment.get(name):
            environment[name] = usual
