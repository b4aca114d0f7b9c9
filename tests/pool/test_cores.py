"""What a supervisor says when its workers will not get a core each."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tempotask.pool import cores


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


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="there is nothing to take away")
def test_an_affinity_smaller_than_the_machine_is_told_with_the_number_to_give() -> None:
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        said = cores.warning(os.cpu_count() or 1)
    finally:
        os.sched_setaffinity(0, allowed)
    assert said is not None
    assert "--concurrency 1" in said


def test_workers_that_get_a_core_each_are_not_worth_a_warning() -> None:
    assert cores.warning(1) is None
