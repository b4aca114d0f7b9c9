"""Does the jobs that come in, a line of JSON each, and prints their results: `python -m benchmarks.real.alone KIND`.

What GNU parallel starts for each chunk.
"""

from __future__ import annotations

import json
import sys

from benchmarks.real.kinds import KINDS

if __name__ == "__main__":
    work = KINDS[sys.argv[1]].work
    for line in sys.stdin:
        print(json.dumps(work(json.loads(line))))
