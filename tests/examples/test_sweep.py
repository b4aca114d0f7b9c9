"""The example with numpy: the best is the best, and the rough answer comes early."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

from examples.conftest import Shell

PLAIN_LOOP = """
import sweep
measured = sweep.Measurements()
lowest, _, best = min((sweep.error(point, measured), point.id, point) for point, _ in sweep.grid())
print(f"the best: {best}, error {lowest:.4f}")
"""


def test_the_best_is_that_of_a_plain_loop_and_a_rough_answer_comes_early(
    copied: Callable[[str], Path], shell: Shell
) -> None:
    folder = copied("sweep")
    told = shell.run(folder, "python", "sweep.py")
    # One thread, as in a worker.
    (best,) = shell.run(folder, "env", "OMP_NUM_THREADS=1", "python", "-c", PLAIN_LOOP)
    assert told[-1].startswith(f"{best}; with other waves 0.")
    (early,) = [found for line in told if (found := re.match(r"after (\d+) of 144, a coarse grid: ", line))]
    # In the order of the grid the last of them would be at 131.
    assert 16 <= int(early[1]) < 72


def test_a_sweep_that_is_killed_is_taken_up_by_the_next(copied: Callable[[str], Path], shell: Shell) -> None:
    folder = copied("sweep")
    killed = shell.start(folder, "python", "sweep.py")
    assert killed.stdout is not None
    assert "of 144" in killed.stdout.readline()
    killed.kill()
    killed.communicate()
    assert shell.run(folder, "python", "sweep.py")[-2].startswith("144 of 144: ")
    jobs = shell.run(folder, "tempotask", "jobs", "--namespace", "sweep", "--limit", "1000", "--json")
    left = [job for job in map(json.loads, jobs) if job["status"] != "completed"]
    assert left == []
    assert shell.run(folder, "tempotask", "check", "--namespace", "sweep")[-1].endswith("all is right")
