"""Faults of handlers: what one job does to its process, and what becomes of that job."""

from __future__ import annotations

import contextlib
import os
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pool.running import LONG, wait_until

from tempotask import JobFailed, JobHandle
from torture.fault import Fault, Injection, NotHere, Setting
from torture.world import World

CRASHED, OVERDUE = ("WorkerCrashed",), ("JobTimeout",)
ALONE = Setting(load=False)
"""For what is bound to hurt others in its process: there are none."""
MODEST = Setting(
    application="modest:tempotask",
    files={
        "modest.py": """\
from tempotask import QueueManager
from torture import chores

tempotask = QueueManager.init(options={"max_memory": "300MiB"})
for task in chores.tempotask.tasks.values():
    given = {"name": task.name, "queue": task.queue, "handler": task.handler, "options": task.options}
    tempotask.register_job(**given)
"""
    },
)
"""An application whose workers may not grow."""
GROUPS = Path("/sys/fs/cgroup/memory")


class Case(NamedTuple):
    """A hostile job, and how it is to end."""

    name: str
    """Words for the table."""
    task: str
    data: Any = None
    expect: tuple[str, ...] = ("completed",)
    timeout: float | None = None
    setting: Setting = Setting()
    quick: bool = False


def failed(*kinds: str) -> tuple[str, ...]:
    return kinds


CASES = (
    Case("exits with 0", "exits", 0, CRASHED),
    Case("exits with 3", "exits", 3, CRASHED),
    Case("segmentation fault", "segfaults", None, CRASHED, quick=True),
    Case("aborts in C", "aborts", None, CRASHED),
    Case("stack overflow in C", "overflows_the_stack", None, CRASHED),
    Case("kills its group", "kills_its_group", None, CRASHED),
    Case("becomes another program", "becomes_another_program", None, CRASHED),
    Case("memory limit of its own", "eats_memory_under_a_limit", None, failed("MemoryError")),
    Case("sys.exit", "leaves", 3, failed("SystemExit"), quick=True),
    Case("KeyboardInterrupt", "interrupts_itself", None, failed("KeyboardInterrupt")),
    Case("GeneratorExit", "ends_as_a_generator_does", None, failed("GeneratorExit")),
    Case("endless recursion", "recurses", None, failed("RecursionError")),
    Case("forks and both return", "forks_and_returns", quick=True),
    Case("forks a child that stays", "forks_a_child_that_stays"),
    Case("forks a child that raises", "forks_and_raises"),
    Case("daemonises", "daemonises", quick=True),
    Case("starts a program that stays", "starts_a_program_that_stays"),
    Case("starts threads that stay", "starts_threads_that_stay"),
    Case("leaves its group", "leaves_its_group", None, OVERDUE, 0.3),
    Case("leaves its session", "leaves_its_session"),
    Case("unties itself from its parent", "outlives_its_parent"),
    Case("blocks all signals and stays", "blocks_signals", True, OVERDUE, 0.3),
    Case("blocks all signals", "blocks_signals", False),
    Case("resets all signals and stays", "resets_signals", True, OVERDUE, 0.3),
    Case("resets all signals", "resets_signals", False),
    Case("stops itself", "stops_itself", None, OVERDUE, 0.3),
    Case("ignores its end", "ignores_its_end", None, OVERDUE, 0.3),
    Case("holds the interpreter", "holds_the_interpreter", None, OVERDUE, 0.3, quick=True),
    Case("closes all files", "closes_all_files", quick=True),
    Case("takes all files for its own", "takes_all_files_for_its_own"),
    Case("writes to all connections", "writes_to_all_files", b"what is this\r\n"),
    Case("asks the server something", "writes_to_all_files", b"PING\r\n"),
    Case("asks the server for a lot", "writes_to_all_files", b"COMMAND\r\n"),
    Case("writes half a command", "writes_to_all_files", b"*2\r\n$4\r\n"),
    Case("fills standard output", "fills_standard_output", None, OVERDUE, 0.3),
    Case("works in a folder that is gone", "changes_directory"),
    Case("raises what can't be encoded", "raises", "surrogates", failed("ValueError")),
    Case("raises 64 MiB of text", "raises", "long", failed("ValueError")),
    Case("raises a strange type", "raises", "strange name", failed("7.? \n\0")),
    Case("recursion in __repr__", "raises", "unspeakable", failed("torture.nasty.Unspeakable")),
    Case("raises what answers nothing", "raises", "liar", failed("torture.nasty.Liar")),
    Case("exits while asked for its text", "raises", "exiting", failed("torture.nasty.Exiting")),
    Case("raises a chain of 20000", "raises", "chain", failed("ValueError")),
    Case("raises a circle", "raises", "circle", failed("ValueError")),
    Case("raises a group of all kinds", "raises", "group", failed("BaseExceptionGroup")),
    *(
        Case(f"returns unsendable {what}", "returns", what, failed("InvalidPayload"))
        for what in ("object", "circle", "deep", "surrogates", "large", "key", "number", "generator", "exception")
    ),
    Case("deletes builtins", "deletes_builtins", ["len", "isinstance", "max"], CRASHED, setting=ALONE),
    Case("dies a moment behind its end", "kills_itself_when_it_has_ended", 0.0, ("completed", *CRASHED), setting=ALONE),
    Case("takes what its worker needs", "sets_low_limits", None, ("completed", *CRASHED), setting=ALONE),
    Case("changes standard output", "changes_standard_output"),
    Case("traces", "traces", None, ("RuntimeError", "completed")),
    Case("profiles", "profiles", None, ("RuntimeError", "completed")),
    Case("stops its loop", "stops_the_loop", None, failed("RuntimeError")),
    Case("closes its loop", "closes_the_loop", None, failed("ValueError"), setting=ALONE),
    Case("cancels itself", "cancels_itself", None, failed("asyncio.exceptions.CancelledError")),
    Case("swallows its cancellation", "swallows_its_cancellation", None, OVERDUE, 0.3),
    *(
        Case(f"sends itself {signal.Signals(number).name}", "signals_itself", int(number))
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD)
    ),
    Case("sends itself SIGALRM", "signals_itself", int(signal.SIGALRM), CRASHED),
    *(
        Case(f"sends its nursery {signal.Signals(number).name}", "signals_its_parent", int(number))
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGUSR1, signal.SIGKILL)
    ),
)


def injected(case: Case) -> Callable[[World], Injection]:
    """Three such jobs, one after the other, while others work. The judge knows how they are to end."""

    def inject(world: World) -> Injection:
        began = time.monotonic()
        for _ in range(3):
            run(world, case.task, case.data, case.expect, case.timeout)
        return Injection(at=began)

    return inject


def run(
    world: World, task: str, data: Any, expect: tuple[str, ...], timeout: float | None = None, most: int = 2
) -> JobHandle[Any]:
    """Adds one and waits for its end, and until every place of a worker is taken again."""
    options: dict[str, Any] = {"max_crashes": most}
    if timeout is not None:
        options["timeout"] = timeout
    (handle,) = world.add(task, expect=expect, data=data, **options)
    with contextlib.suppress(JobFailed):
        handle.result(timeout=LONG)
    wait_until(lambda: len(world.workers()) == world.slots(), "a worker is not replaced")
    found: JobHandle[Any] = handle
    return found


@contextlib.contextmanager
def memory_group(most: int) -> Iterator[Path]:
    """A control group whose processes may have so many bytes together."""
    group = GROUPS / f"torture-{uuid.uuid4().hex[:8]}"
    try:
        group.mkdir()
    except OSError as error:
        raise NotHere(f"no control group can be made here: {error.strerror}") from None
    try:
        (group / "memory.limit_in_bytes").write_text(str(most))
        yield group
    finally:
        wait_until(lambda: not (group / "cgroup.procs").read_text(), "somebody is still in the control group")
        os.rmdir(group)


def out_of_memory(world: World) -> Injection:
    """The kernel kills a worker that takes too much."""
    with memory_group(256 << 20) as group:
        run(world, "eats_memory_in_a_group", str(group), CRASHED)
    return Injection()


def too_large(world: World) -> Injection:
    """The supervisor ends a worker that takes more than it is to."""
    began = time.monotonic()
    run(world, "grows", 600 << 20, CRASHED)
    return Injection(at=began)


FAULTS = [
    *(
        Fault(f"handler: {case.name}", "handler", injected(case), case.setting, case.setting is not ALONE, case.quick)
        for case in CASES
    ),
    Fault("handler: out of memory", "handler", out_of_memory, mixed=False),
    Fault("handler: more than max_memory", "handler", too_large, MODEST, mixed=False),
]
