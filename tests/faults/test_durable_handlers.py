"""What handlers add is as durable as the application asks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pool.running import LONG, Bench
from servers import OwnServer

from tempotask import JobFailed

APP = """
from tempotask import Context, Job, QueueManager

tempotask = QueueManager.init(options={"durability": "disk"})


@tempotask.task(queue="q")
def parent(job: Job[None], ctx: Context[None]) -> str:
    return ctx.enqueue(name="child", queue="q").id


@tempotask.task(queue="q")
def child(job: Job[None], ctx: Context[None]) -> str | None:
    return job.parent
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "careful.py").write_text(APP)
    return folder


def test_a_handler_adds_jobs_where_it_can_wait_for_the_disk(
    app: Path, start_server: Callable[..., OwnServer], make_bench: Callable[[str], Bench]
) -> None:
    bench = make_bench(start_server("--appendonly", "yes", "--appendfsync", "always").url)
    supervisor = bench.start(app="careful:tempotask", folder=app)
    handle = bench.manager.enqueue(name="parent", queue="q")
    assert bench.manager.handle(handle.result(timeout=LONG)).result(timeout=LONG) == handle.id
    assert supervisor.stop() == 0


def test_a_handler_that_can_not_wait_for_the_disk_adds_nothing(
    app: Path, start_server: Callable[..., OwnServer], make_bench: Callable[[str], Bench]
) -> None:
    bench = make_bench(start_server().url)
    supervisor = bench.start(app="careful:tempotask", folder=app)
    with pytest.raises(JobFailed, match="it has no append-only file"):
        bench.manager.enqueue(name="parent", queue="q").result(timeout=LONG)
    assert [job.name for job in bench.manager.get_jobs()] == ["parent"]
    assert supervisor.stop() == 0
