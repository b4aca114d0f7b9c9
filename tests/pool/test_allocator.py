"""Workers keep memory that a job has let go of for the next one."""

from __future__ import annotations

import platform

import pytest
from pool.running import LONG, Bench

from tempotask.pool import allocator

APP = "buffers:tempotask"
ROUNDS, BUFFERS, SIZE = 20, 16, 400_000
PAGES = BUFFERS * SIZE // 4096
"""Of the buffers of one round."""

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library does as it does")


@pytest.fixture(autouse=True)
def _nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*allocator.CHOSEN, "GLIBC_TUNABLES"):
        monkeypatch.delenv(name, raising=False)


def wanted(bench: Bench, environment: dict[str, str]) -> int:
    """Pages that were wanted of the kernel in some rounds."""
    bench.begin(app=APP, workers=1, environment=environment).wait_for("ready: ")
    pages = bench.manager.enqueue(name="fill", queue="q", data=(ROUNDS, BUFFERS, SIZE)).result(LONG)
    assert isinstance(pages, int)
    return pages


def test_a_job_gets_the_memory_that_the_one_before_had(bench: Bench) -> None:
    assert wanted(bench, {}) < PAGES * ROUNDS / 10


@pytest.mark.parametrize(
    "chosen",
    [{"MALLOC_TRIM_THRESHOLD_": "65536"}, {"GLIBC_TUNABLES": "glibc.malloc.trim_threshold=65536"}],
    ids=["variable", "tunable"],
)
def test_what_the_environment_says_of_memory_holds(bench: Bench, chosen: dict[str, str]) -> None:
    assert wanted(bench, chosen) > PAGES * ROUNDS / 2
