"""The pytest plugin, as a project uses it that has TempoTask installed: pytest runs of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

APP = """
import os
from tempotask import Context, Job, QueueManager

tempotask = QueueManager.init(db="redis://127.0.0.1:1", namespace="mine", concurrency=7)

@tempotask.task(queue="q")
def double(job: Job[int], ctx: Context) -> int:
    return 2 * job.data

@tempotask.task(queue="q")
def where(job: Job[None], ctx: Context) -> int:
    return os.getpid()

@tempotask.task(queue="q")
def hang(job: Job[str], ctx: Context) -> None:
    import time
    with open(job.data, "w") as fifo:
        fifo.write("here")
    time.sleep(3600)

inline = QueueManager.init(inline=True)
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makepyfile(app=APP)
    return pytester


def run(project: pytest.Pytester, test: str, **outcomes: int) -> pytest.RunResult:
    project.makepyfile(test_it=test)
    result = project.runpytest_subprocess("-p", "no:cacheprovider", timeout=100)
    result.assert_outcomes(**outcomes)
    return result


def test_the_pool_runs_the_applications_jobs_in_processes_of_its_own(project: pytest.Pytester) -> None:
    run(
        project,
        """
        import os
        from app import double, tempotask, where

        def test_jobs(tempotask_pool):
            tempotask_pool(tempotask, concurrency=1)
            assert double.enqueue(21).result(timeout=60) == 42
            assert where.enqueue().result(timeout=60) != os.getpid()
        """,
        passed=1,
    )


def test_each_test_has_a_namespace_of_its_own_and_the_manager_goes_back(project: pytest.Pytester) -> None:
    run(
        project,
        """
        from app import double, tempotask
        namespaces = set()

        def test_one(tempotask_pool):
            tempotask_pool(tempotask)
            assert double.enqueue(1, id="x").result(timeout=60) == 2
            namespaces.add(tempotask.namespace)

        def test_two(tempotask_pool):
            tempotask_pool(tempotask)
            assert tempotask.get_job_by_id("x") is None
            assert tempotask.get_queues_list() == ["q"]
            namespaces.add(tempotask.namespace)

        def test_three():
            assert len(namespaces) == 2 and "mine" not in namespaces
            assert (tempotask.namespace, tempotask.concurrency) == ("mine", 7)
            assert tempotask._client.db == "redis://127.0.0.1:1"
        """,
        passed=3,
    )


def test_it_works_in_async_tests(project: pytest.Pytester) -> None:
    run(
        project,
        """
        import asyncio
        from app import double, tempotask

        def test_jobs(tempotask_pool):
            async def main():
                tempotask_pool(tempotask)
                handles = [await double.aenqueue(n) for n in range(10)]
                assert [await handle for handle in handles] == [2 * n for n in range(10)]
                await tempotask.join()
            asyncio.run(main())
        """,
        passed=1,
    )


def test_the_server_is_one_for_the_session_and_gone_afterwards(project: pytest.Pytester, tmp_path: Path) -> None:
    run(
        project,
        f"""
        import pathlib
        from tempotask import QueueManager

        def look(url):
            with QueueManager.init(url) as manager:
                manager.enqueue(name="n", queue="q")
            pathlib.Path({str(tmp_path)!r}, "urls").open("a").write(url + "\\n")

        def test_one(tempotask_server):
            look(tempotask_server)

        def test_two(tempotask_server):
            look(tempotask_server)
        """,
        passed=2,
    )
    (url,) = set((tmp_path / "urls").read_text().split())
    # That no process is left is what conftest.py looks for after each test.
    assert not Path(url.removeprefix("unix://")).parent.exists()


def test_a_job_that_hangs_does_not_hold_up_the_end_of_the_test(project: pytest.Pytester) -> None:
    run(
        project,
        """
        import os
        from app import hang, tempotask

        def test_jobs(tempotask_pool, tmp_path):
            tempotask_pool(tempotask, concurrency=1)
            os.mkfifo(tmp_path / "fifo")
            hang.enqueue(str(tmp_path / "fifo"))
            assert (tmp_path / "fifo").read_text() == "here"
        """,
        passed=1,
    )


def test_a_test_that_fails_shows_what_the_pool_said(project: pytest.Pytester) -> None:
    result = run(
        project,
        """
        from app import double, tempotask

        def test_jobs(tempotask_pool):
            tempotask_pool(tempotask)
            assert double.enqueue(1).result(timeout=60) == 3
        """,
        failed=1,
    )
    result.stdout.fnmatch_lines(["*ready: *"])


def test_an_application_that_workers_cannot_import_is_refused(project: pytest.Pytester) -> None:
    run(
        project,
        """
        import pytest
        from app import inline
        from tempotask import InvalidOptions, NotImportable, QueueManager

        def test_local(tempotask_pool):
            manager = QueueManager.init()
            with pytest.raises(NotImportable, match="top level of a module"):
                tempotask_pool(manager)
            assert manager.namespace == "tempotask"

        def test_inline(tempotask_pool):
            with pytest.raises(InvalidOptions, match="inline=True"):
                tempotask_pool(inline)
        """,
        passed=2,
    )


def test_it_costs_nothing_where_it_is_not_used(project: pytest.Pytester) -> None:
    project.makepyfile(app="")
    run(
        project,
        """
        import sys

        def test_nothing_is_imported():
            ours = [name for name in sys.modules if name.split(".")[0] in ("tempotask", "redis", "msgspec")]
            assert sorted(ours) == ["tempotask", "tempotask.pytest_plugin"]
        """,
        passed=1,
    )


def test_pytest_lists_the_fixtures_with_what_they_are(project: pytest.Pytester) -> None:
    result = project.runpytest_subprocess("--fixtures", "-p", "no:cacheprovider")
    result.stdout.fnmatch_lines(["tempotask_server*session scope*", "tempotask_pool*"])
