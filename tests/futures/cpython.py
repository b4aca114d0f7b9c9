"""CPython's own tests of executors, run against `TempoExecutor(pickle=True)`: see scripts/cpython_tests.

What they ask of an executor is kept; only what names its class, and what it raises when a worker dies, is put in its
place. `NOT_APPLIED` says which of them can't apply, and why.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import sys
import threading
import unittest
from collections.abc import Iterator
from typing import Any
from unittest import mock

from pool.running import wait_until
from test import test_concurrent_futures as theirs

from tempotask import InvalidPayload, WorkerCrashed
from tempotask.futures import TempoExecutor

NOT_APPLIED = {
    "test_processes_terminate": "looks at the process objects of `ProcessPoolExecutor`, and sends it a semaphore",
    "test_killed_child": "wants one dead worker to break the executor: here it fails its own call, and no other",
    "test_saturation": "sends a semaphore, which only the children of `multiprocessing` can be given",
    "test_idle_process_reuse_one": "counts processes that are started one by one: here all are started at once",
    "test_idle_process_reuse_multiple": "the same",
    "test_max_tasks_per_child": "`max_tasks_per_child` is no option of this executor",
    "test_max_tasks_per_child_defaults_to_spawn_context": "the same",
    "test_max_tasks_early_shutdown": "the same",
    "test_max_workers_too_large": "about Windows",
    "test_threads_terminate": "sends a function defined in a function, and a lock of a thread",
    "test_thread_names_assigned": "about the names of threads that call functions",
    "test_thread_names_default": "the same",
    "test_cancel_futures_wait_false": "wants a call to begin the moment it is submitted, before there is a pool",
}
"""Tests of `ProcessPoolExecutor`, or of `ThreadPoolExecutor` where those of all executors are, and why they are left
out."""
PRELUDE = """\
import concurrent.futures, functools, tempotask.futures
concurrent.futures.Tested = functools.partial(tempotask.futures.TempoExecutor, pickle=True)
"""


class Tested(TempoExecutor):
    """The executor as the tests make it, and with the threads that they wait for."""

    def __init__(self, max_workers: int | None = None, mp_context: None = None, **options: Any) -> None:
        super().__init__(max_workers, pickle=True, **options)

    @property
    def _threads(self) -> list[threading.Thread]:
        thread = self._feeder._thread
        return [] if thread is None else [thread]

    @property
    def _executor_manager_thread(self) -> threading.Thread | None:
        return self._feeder._thread


class Mixin(theirs.ExecutorMixin):
    """What each test is run with."""

    executor_type = Tested

    def setUp(self) -> None:
        with contextlib.ExitStack() as stack:
            stack.enter_context(mock.patch.object(concurrent.futures, "ThreadPoolExecutor", Tested))
            # Where others break as a whole, here one call has an error.
            stack.enter_context(mock.patch.object(theirs, "BrokenProcessPool", (WorkerCrashed, InvalidPayload)))
            stack.enter_context(mock.patch.object(theirs, "assert_python_ok", run_program))
            self.addCleanup(stack.pop_all().close)
        super().setUp()

    def get_context(self) -> Any:
        # Of `multiprocessing`: for what tests share with workers themselves.
        import multiprocessing

        return multiprocessing.get_context("spawn")


run_to_end = theirs.assert_python_ok


def run_program(*arguments: str) -> Any:
    option, program = arguments
    return run_to_end(option, PRELUDE + program, __isolated=False, PYTHONPATH=":".join(sys.path))


class FailingInitializer(Mixin, theirs.FailingInitializerMixin):
    """The worker logs, in a process of its own; that the test would look for it in ours is left out."""

    def setUp(self) -> None:
        self.log_queue, self.executor_kwargs = None, {"initializer": theirs.init_fail}
        Mixin.setUp(self)

    @contextlib.contextmanager
    def _assert_logged(self, message: str) -> Iterator[None]:
        yield


class Shutdown(Mixin, theirs.ProcessPoolShutdownTest):
    """What was submitted begins when there is a pool: the test takes it for granted that some calls have begun."""

    def test_cancel_futures(self) -> None:
        self.executor.submit(abs, -1).result()
        shutdown = self.executor.shutdown

        def later(**options: Any) -> None:
            self.executor.shutdown = shutdown
            wait_until(lambda: self.executor._feeder._sent, "nothing was sent")
            shutdown(**options)

        self.executor.shutdown = later
        super().test_cancel_futures()


GROUPS: dict[str, tuple[type[Any], ...]] = {
    "Executor": (Mixin, theirs.ProcessPoolExecutorTest),
    "Shutdown": (Shutdown,),
    "ShutdownOfThreads": (Mixin, theirs.ThreadPoolShutdownTest),
    "Initializer": (Mixin, theirs.InitializerMixin),
    "FailingInitializer": (FailingInitializer,),
    "Wait": (Mixin, theirs.WaitTests),
    "AsCompleted": (Mixin, theirs.AsCompletedTests),
    "Deadlock": (Mixin, theirs.ExecutorDeadlockTest),
}
KINDS = {
    name: type(f"{name}Test", (*bases, theirs.BaseTestCase), {"__module__": __name__}) for name, bases in GROUPS.items()
}
globals().update({kind.__name__: kind for kind in KINDS.values()})  # tests send methods of theirs
OF_PROCESSES = ("test_context_manager_shutdown", "test_del_shutdown", "test_shutdown_no_wait")
"""Those that have a twin for threads, which asks the same and looks at less of the inside."""


def suite() -> tuple[unittest.TestSuite, dict[str, str]]:
    """All tests that apply, and why others do not."""
    tests, left_out = unittest.TestSuite(), dict[str, str]()
    for group, kind in KINDS.items():
        for name in unittest.defaultTestLoader.getTestCaseNames(kind):
            if group == "Shutdown" and name in OF_PROCESSES:
                continue
            if name in NOT_APPLIED:
                left_out[name] = NOT_APPLIED[name]
            elif group != "ShutdownOfThreads" or name not in vars(theirs.ExecutorShutdownTest):
                tests.addTest(kind(name))
    return tests, left_out


def main() -> int:
    tests, left_out = suite()
    wanted = [name for name in sys.argv[1:] if not name.startswith("-")]
    if wanted:
        tests = unittest.TestSuite(test for test in tests if any(name in test.id() for name in wanted))
    result = unittest.TextTestRunner(verbosity=2 if "-v" in sys.argv else 1).run(tests)
    print("\nnot applied:")
    for name, why in NOT_APPLIED.items():
        print(f"  {name}: {why}" + ("" if name in left_out else " (this version has it not)"))
    done = result.testsRun - len(result.failures) - len(result.errors) - len(result.skipped)
    print(f"{done} of CPython's executor tests passed, of {result.testsRun} that apply; {len(left_out)} do not")
    return not result.wasSuccessful()


if __name__ == "__main__":
    # Under its own name: workers import this too, by the name that pickles say.
    from futures import cpython

    sys.exit(cpython.main())
