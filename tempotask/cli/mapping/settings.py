"""The settings of a map's managers, in the command and in its workers."""

from __future__ import annotations

from tempotask.cli.mapping.span import HEAVIEST
from tempotask.cli.mapping.work import GRACE, LARGEST
from tempotask.options import Options

RESULTS, RESULTS_BYTES = 20_000, 64 * 1024 * 1024
"""What the server keeps of answers: far more than are on their way, and little for a server."""
CRASHES = 3
"""So many processes may a single input cost."""


def options() -> Options:
    """History is of no use here: the output is the truth. A span is its inputs, its answer its rows, and a little."""
    return Options(
        max_jobs_per_status=0,
        max_results=RESULTS,
        max_results_bytes=RESULTS_BYTES,
        max_payload_bytes=LARGEST + 2 * HEAVIEST,
        grace=GRACE,
    )
