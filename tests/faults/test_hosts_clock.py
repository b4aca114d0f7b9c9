"""A host whose clock jumps: the server's time alone counts."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pool.running import LONG, Bench, wait_until

Make = Callable[[str], Bench]
HOUR = 3600


def kernel_with_its_clock_set(folder: Path, seconds: int) -> list[str]:
    """A command that runs another where the kernel tells what it does after its clock was set forward.

    The time at which the machine was started is told as the time now less the time since, so it jumps with the clock.
    Nothing else is changed, as no other test would like a clock that is set.
    """
    told = Path("/proc/stat").read_text().splitlines()
    moved = [f"btime {int(line.split()[1]) + seconds}" if line.startswith("btime") else line for line in told]
    (folder / "stat").write_text("\n".join(moved) + "\n")
    script = f'mount --bind "{folder}/stat" /proc/stat && exec "$@"'
    through = ["unshare", "--mount", "sh", "-c", script, "sh"]
    refused = subprocess.run([*through, "true"], capture_output=True, text=True)
    if refused.returncode:
        pytest.skip(f"/proc can't be changed for one process: {refused.stderr.strip()}")
    return through


@pytest.mark.parametrize("seconds", [HOUR, -HOUR])
def test_a_supervisor_is_not_taken_for_dead_by_another_on_its_host_when_the_clock_was_set(
    start_server: Callable[..., Any], make_bench: Make, tmp_path: Path, seconds: int
) -> None:
    bench = make_bench(start_server().url)
    first = bench.start(workers=1)
    (id,) = bench.store.registrations()
    handle = bench.manager.enqueue(name="hold", queue="q")
    bench.hear()
    lease = bench.store.read("HGET", "leases", id)
    second = bench.begin("--lease", "2", workers=1, through=kernel_with_its_clock_set(tmp_path, seconds))
    second.wait_for("ready: ")
    # By then the other one has looked at this one's lease.
    wait_until(lambda: bench.store.read("HGET", "leases", id) != lease, "it does not renew")
    assert not second.about("was lost")
    bench.open_gate()
    assert handle.result(timeout=LONG) == 1
    assert not first.about("starting over")
    assert first.stop() == second.stop() == 0
