"""What a supervisor says when its workers will not get a core each."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pool.running import Bench

from tempotask.pool import cores

CORES = os.cpu_count() or 1


def test_the_quota_of_a_container_is_read_in_version_two_of_cgroups(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    assert cores.quota(tmp_path) == 1.5


def test_a_container_without_a_quota_has_none_in_version_two(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert cores.quota(tmp_path) is None


@pytest.mark.parametrize("folder", ["cpu", "cpu,cpuacct"])
def test_the_quota_of_a_container_is_read_in_version_one(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "cpu.cfs_quota_us").write_text("200000\n")
    (tmp_path / folder / "cpu.cfs_period_us").write_text("100000\n")
    assert cores.quota(tmp_path) == 2.0


def test_a_container_without_a_quota_has_none_in_version_one(tmp_path: Path) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("-1\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert cores.quota(tmp_path) is None


def test_a_machine_without_cgroups_has_no_quota(tmp_path: Path) -> None:
    assert cores.quota(tmp_path) is None


def write_v2(folder: Path, quota: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cpu.max").write_text(f"{quota} 100000\n")


def test_the_quota_of_a_service_is_the_least_of_those_around_it(tmp_path: Path) -> None:
    """As systemd sets it: in the folder of the service, and maybe of the slice that it is in."""
    groups = tmp_path / "groups"
    groups.write_text("0::/system.slice/batch.service\n")
    write_v2(tmp_path / "system.slice", "400000")
    write_v2(tmp_path / "system.slice/batch.service", "max")
    write_v2(tmp_path / "system.slice/other.service", "50000")
    assert cores.quota(tmp_path, groups) == 4.0
    write_v2(tmp_path / "system.slice/batch.service", "250000")
    assert cores.quota(tmp_path, groups) == 2.5


def test_the_quota_of_a_service_is_read_in_version_one(tmp_path: Path) -> None:
    groups = tmp_path / "groups"
    groups.write_text("12:memory:/x\n4:cpu,cpuacct:/batch\n1:name=systemd:/system.slice\n")
    (tmp_path / "cpu,cpuacct/batch").mkdir(parents=True)
    (tmp_path / "cpu,cpuacct/batch/cpu.cfs_quota_us").write_text("50000\n")
    (tmp_path / "cpu,cpuacct/batch/cpu.cfs_period_us").write_text("100000\n")
    assert cores.quota(tmp_path, groups) == 0.5


def test_a_group_of_the_host_that_a_container_can_not_see_does_no_harm(tmp_path: Path) -> None:
    groups = tmp_path / "groups"
    groups.write_text("0::/kubepods/pod1\n")
    write_v2(tmp_path, "100000")
    assert cores.quota(tmp_path, groups) == 1.0


@pytest.mark.skipif(CORES < 2, reason="there is nothing to take away")
@pytest.mark.parametrize(
    ("quota", "number", "said"),
    [("100000", 1, "1 core"), ("50000", 1, "0.5 cores"), (f"{CORES}00000", None, ""), ("max", None, "")],
)
def test_a_quota_smaller_than_the_machine_is_told_with_the_number_to_give(
    tmp_path: Path, quota: str, number: int | None, said: str
) -> None:
    write_v2(tmp_path, quota)
    told = cores.warning(CORES, tmp_path, tmp_path / "none")
    expected = f"the CPU quota of this container or service allows {said} for {CORES} workers: give --concurrency 1"
    assert told == (expected if number else None)


@pytest.mark.skipif(CORES < 2, reason="there is nothing to take away")
def test_a_part_of_a_core_is_worth_a_worker(tmp_path: Path) -> None:
    write_v2(tmp_path, "150000")
    told = cores.warning(CORES + 1, tmp_path, tmp_path / "none")
    assert told is not None
    assert told.endswith(f"allows 1.5 cores for {CORES + 1} workers: give --concurrency 2")


@pytest.mark.skipif(CORES < 2, reason="there is nothing to take away")
def test_a_supervisor_that_may_not_use_all_cores_says_the_number_to_give(bench: Bench) -> None:
    core = str(min(os.sched_getaffinity(0)))
    for workers, lines in ((0, 1), (1, 0)):
        supervisor = bench.begin(workers=workers, through=("taskset", "-c", core))
        supervisor.wait_for("ready: ")
        said = supervisor.about("the affinity of this process allows 1 core for ")
        assert [line.endswith(f" {CORES} workers: give --concurrency 1") for line in said] == [True] * lines
        assert supervisor.stop() == 0


def test_workers_that_get_a_core_each_are_not_worth_a_warning() -> None:
    assert cores.warning(1) is None
