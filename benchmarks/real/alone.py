"""Does the jobs that come in, a line of JSON each, and prints their results.

What GNU parallel starts for each chunk.
"""

from __future__ import annotations

import json
import sys

from benchmarks.real.timed import work

if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(work(json.loads(line))))
