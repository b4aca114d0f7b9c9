"""A host whose clock jumps: the server's time alone counts."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from pool.running import LONG, Bench, wait_until
from torture import host

Make = Callable[[str], Bench]
HOUR, LEASE = 3600, 2


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
    second = bench.begin("--lease", "2", workers=1, through=host.kernel_with_its_clock_set(tmp_path, seconds))
    second.wait_for("ready: ")
    # By then the other one has looked at this one's lease.
    wait_until(lambda: bench.store.read("HGET", "leases", id) != lease, "it does not renew")
    assert not second.about("was lost")
    bench.open_gate()
    assert handle.result(timeout=LONG) == 1
    assert not first.about("starting over")
    assert first.stop() == second.stop() == 0


@pytest.mark.parametrize("seconds", [HOUR, -HOUR])
def test_a_clock_that_jumps_by_an_hour_changes_nothing_for_leases_delays_and_time_limits(
    start_server: Callable[..., Any], make_bench: Make, tmp_path: Path, seconds: int
) -> None:
    bench, clock = make_bench(start_server().url), host.Clock(tmp_path)
    jumping = bench.begin("--lease", str(LEASE), workers=1, environment=clock.environment)
    jumping.wait_for("ready: ")
    steady = bench.start("--lease", str(LEASE), workers=1)
    holds = [bench.manager.enqueue(name="hold", queue="q", options={"timeout": 600}) for _ in range(2)]
    for _ in holds:
        bench.hear()
    began = time.monotonic()
    soon = bench.manager.enqueue(name="echo", queue="q", data=1, options={"delay": 2})
    late = bench.manager.enqueue(name="echo", queue="q", data=2, options={"delay": 1800})
    clock.set(seconds)
    bench.open_gate(2)
    assert [handle.result(timeout=LONG) for handle in holds] == [1, 1]
    assert soon.result(timeout=LONG) == 1
    # This process sees the server's clock through an answer that took a while.
    assert time.monotonic() - began >= 1.5
    assert late.status() == "delayed"
    # Both have looked at the other's lease for longer than it lasts.
    ids, since = bench.store.registrations(), int(bench.store.now() * 1000)

    def renewed() -> bool:
        return all(int(bench.store.read("HGET", "leases", id) or 0) > since + 3000 * LEASE for id in ids)

    wait_until(renewed, "a lease is not renewed")
    assert set(bench.store.registrations()) == set(ids)
    assert not [line for each in (jumping, steady) for line in each.lines if "lost" in line or "starting over" in line]
    assert late.cancel()
    assert jumping.stop() == steady.stop() == 0
    ended, other = (datetime.fromisoformat(each.lines[-1][:19]) for each in (jumping, steady))
    assert abs((ended - other).total_seconds() - seconds) < LONG, "the clock has not jumped"
