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
EITHER = ("completed", *CRASHED)
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


class Hostile(NamedTuple):
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
    Hostile("exits with 0", "exits", 0, CRASHED),
    Hostile("exits with 3", "exits", 3, CRASHED),
    Hostile("segmentation fault", "segfaults", None, CRASHED, quick=True),
    Hostile("aborts in C", "aborts", None, CRASHED),
    Hostile("stack overflow in C", "overflows_the_stack", None, CRASHED),
    Hostile("kills its group", "kills_its_group", None, CRASHED),
    Hostile("becomes another program", "becomes_another_program", None, CRASHED),
    Hostile("memory limit of its own", "eats_memory_under_a_limit", None, failed("MemoryError")),
    Hostile("sys.exit", "leaves", 3, failed("SystemExit"), quick=True),
    Hostile("KeyboardInterrupt", "interrupts_itself", None, failed("KeyboardInterrupt")),
    Hostile("GeneratorExit", "ends_as_a_generator_does", None, failed("GeneratorExit")),
    Hostile("endless recursion", "recurses", None, failed("RecursionError")),
    Hostile("forks and both return", "forks_and_returns", quick=True),
    Hostile("forks a child that stays", "forks_a_child_that_stays"),
    Hostile("forks a child that raises", "forks_and_raises"),
    Hostile("daemonises", "daemonises", quick=True),
    Hostile("starts a program that stays", "starts_a_program_that_stays"),
    Hostile("starts threads that stay", "starts_threads_that_stay"),
    Hostile("leaves its group", "leaves_its_group", None, OVERDUE, 0.3),
    Hostile("leaves its session", "leaves_its_session"),
    Hostile("unties itself from its parent", "outlives_its_parent"),
    Hostile("blocks all signals and stays", "blocks_signals", True, OVERDUE, 0.3),
    Hostile("blocks all signals", "blocks_signals", False),
    Hostile("resets all signals and stays", "resets_signals", True, OVERDUE, 0.3),
    Hostile("resets all signals", "resets_signals", False),
    # It goes on if somebody has it continue: another fault, or its supervisor, who was about to stop it for a look.
    Hostile("stops itself", "stops_itself", None, ("completed", *OVERDUE), 0.3),
    Hostile("ignores its end", "ignores_its_end", None, OVERDUE, 0.3),
    Hostile("holds the interpreter", "holds_the_interpreter", None, OVERDUE, 0.3, quick=True),
    Hostile("closes all files", "closes_all_files", quick=True),
    Hostile("takes all files for its own", "takes_all_files_for_its_own"),
    Hostile("writes to all connections", "writes_to_all_files", b"what is this\r\n"),
    Hostile("asks the server something", "writes_to_all_files", b"PING\r\n"),
    Hostile("asks the server for a lot", "writes_to_all_files", b"COMMAND\r\n"),
    Hostile("writes half a command", "writes_to_all_files", b"*2\r\n$4\r\n"),
    Hostile("fills standard output", "fills_standard_output", None, OVERDUE, 0.3),
    Hostile("works in a folder that is gone", "changes_directory"),
    Hostile("raises what can't be encoded", "raises", "surrogates", failed("ValueError")),
    Hostile("raises 64 MiB of text", "raises", "long", failed("ValueError")),
    Hostile("raises a strange type", "raises", "strange name", failed("7.? \n\0")),
    Hostile("recursion in __repr__", "raises", "unspeakable", failed("torture.nasty.values.Unspeakable")),
    Hostile("raises what answers nothing", "raises", "liar", failed("torture.nasty.values.Liar")),
    Hostile("exits while asked for its text", "raises", "exiting", failed("torture.nasty.values.Exiting")),
    Hostile("raises a chain of 20000", "raises", "chain", failed("ValueError")),
    Hostile("raises a circle", "raises", "circle", failed("ValueError")),
    Hostile("raises a group of all kinds", "raises", "group", failed("BaseExceptionGroup")),
    *(
        Hostile(f"returns unsendable {what}", "returns", what, failed("InvalidPayload"))
        for what in ("object", "circle", "deep", "surrogates", "large", "key", "number", "generator", "exception")
    ),
    Hostile("deletes builtins", "deletes_builtins", ["len", "isinstance", "max"], CRASHED, setting=ALONE),
    Hostile(
        "dies a moment behind its end", "kills_itself_when_it_has_ended", 0.0, ("completed", *CRASHED), setting=ALONE
    ),
    Hostile("takes what its worker needs", "sets_low_limits", None, ("completed", *CRASHED), setting=ALONE),
    Hostile("changes standard output", "changes_standard_output"),
    Hostile("traces", "traces", None, ("RuntimeError", "completed")),
    Hostile("profiles", "profiles", None, ("RuntimeError", "completed")),
    Hostile("stops its loop", "stops_the_loop", None, failed("RuntimeError")),
    Hostile("closes its loop", "closes_the_loop", None, failed("ValueError"), setting=ALONE),
    Hostile("cancels itself", "cancels_itself", None, failed("asyncio.exceptions.CancelledError")),
    Hostile("swallows its cancellation", "swallows_its_cancellation", None, OVERDUE, 0.3),
    *(
        Hostile(f"sends itself {signal.Signals(number).name}", "signals_itself", int(number))
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD)
    ),
    Hostile("sends itself SIGALRM", "signals_itself", int(signal.SIGALRM), CRASHED),
    *(
        Hostile(f"sends its nursery {signal.Signals(number).name}", "signals_its_parent", int(number))
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGUSR1, signal.SIGKILL)
    ),
)


def injected(case: Hostile) -> Callable[[World], Injection]:
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
