"""Makes the jobs of one kind, of each grain, and what they read: `python -m benchmarks.real.make KIND FOLDER PART`.

PART: one of so many jobs is made. The jobs of a grain are a JSON file of its own, 0.json and 1.json.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks.real.kinds import KINDS

if __name__ == "__main__":
    kind, folder, part = KINDS[sys.argv[1]], Path(sys.argv[2]), int(sys.argv[3])
    for number, grain in enumerate(kind.grains):
        jobs = kind.jobs(folder, grain, grain.count // part)
        (folder / f"{number}.json").write_text(json.dumps(jobs))
