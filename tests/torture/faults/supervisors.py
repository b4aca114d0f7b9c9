"""Faults of supervisors: killed, stopped, told things, at any moment and at named ones; and of who adds jobs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

import psutil
from pool.running import LONG, Supervisor, wait_until

from torture.debts import Owed
from torture.fault import Fault, Injection, Setting, Violation
from torture.faults.workers import MOMENTS, all_there
from torture.mishap import Direction
from torture.world import TESTS, World

SWEPT = "starting over under a new id"


def see_gone(world: World, supervisor: Supervisor, tree: Sequence[psutil.Process], at: float) -> Injection:
    """Waits until all of its tree is gone; another comes in its place."""
    _, left = psutil.wait_procs(tree, timeout=LONG)
    if left:
        raise Violation(f"of a dead supervisor's tree {left} go on")
    noticed = time.monotonic() - at
    world.replace(supervisor)
    all_there(world)
    return Injection(noticed, at=at)


def kill(world: World) -> Injection:
    supervisor = world.victim(ends=True)
    tree = supervisor.tree()
    at = time.monotonic()
    supervisor.signal(signal.SIGKILL)
    return see_gone(world, supervisor, tree, at)


def kill_tree(world: World) -> Injection:
    """As a machine does that loses its power."""
    supervisor = world.victim(ends=True)
    at = time.monotonic()
    supervisor.kill_tree()
    return see_gone(world, supervisor, (), at)


@contextmanager
def stopped(processes: Sequence[psutil.Process]) -> Iterator[None]:
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.resume()


def stop(low: float, high: float, *, tree: bool = False) -> Callable[[World], Injection]:
    """It is stopped for so many seconds, with all under it or alone."""

    def inject(world: World) -> Injection:
        supervisor = world.victim()
        seconds = world.random.uniform(low, high)
        with stopped(supervisor.tree() if tree else supervisor.tree()[:1]):
            time.sleep(seconds)
        at = time.monotonic()
        wait_until(lambda: len(world.store.registrations()) == len(world.supervisors), "it does not come back")
        all_there(world)
        return Injection(at=at, note=f"{seconds:.1f} s")

    return inject


def stop_past_lease(world: World) -> Injection:
    """Alone, until others have swept it: it finds that out, and starts over."""
    supervisor = world.victim()
    before, at = len(supervisor.about(SWEPT)), time.monotonic()
    with stopped(supervisor.tree()[:1]):
        wait_until(lambda: len(world.store.registrations()) < len(world.supervisors), "nobody sweeps it")
        noticed = time.monotonic() - at
    at = time.monotonic()
    wait_until(lambda: len(supervisor.about(SWEPT)) > before, "it does not find out that it was swept")
    all_there(world)
    return Injection(noticed, at=at)


def end(*, storm: bool) -> Callable[[World], Injection]:
    """TERM: it ends gently; told again and again, by force."""

    def inject(world: World) -> Injection:
        supervisor = world.victim(ends=True)
        tree, at = supervisor.tree(), time.monotonic()
        for _ in range(20 if storm else 1):
            supervisor.signal()
            time.sleep(0.005 if storm else 0)
        supervisor.end()
        return see_gone(world, supervisor, tree, at)

    return inject


def kill_at(script: str, direction: Direction) -> Callable[[World], Injection]:
    """It dies when its request is on its way, or when the server has done what it asks and it does not know."""

    def inject(world: World) -> Injection:
        hold = world.proxy.hold(script, direction, [supervisor.process.pid for supervisor in world.supervisors])
        others: list[Supervisor] = []
        try:
            others = _have_it_said(world, script)
            if not hold.reached.wait(LONG):
                raise RuntimeError(f"no supervisor's {script} came by")
            supervisor = next(each for each in world.supervisors if each.process.pid == hold.pid)
            tree, at = supervisor.tree(), time.monotonic()
            supervisor.signal(signal.SIGKILL)
            supervisor.end()
        finally:
            hold.release()
        for other in others:
            if other is not supervisor:
                world.replace(other)
        return see_gone(world, supervisor, tree, at)

    return inject


def _have_it_said(world: World, script: str) -> list[Supervisor]:
    """Does what has a supervisor say that. Returns those that end by it."""
    if script == "give_back":
        world.add("busy", 20, data=0.2)
    elif script == "register":
        world.random.choice(world.workers()).kill()
    elif script in ("sweep", "leave"):
        supervisor = world.victim()
        if script == "sweep":
            supervisor.kill_tree()
        else:
            supervisor.signal()
        return [supervisor]
    return []


# -- code that changes

APP = """\
from torture.chores import tempotask

VERSION = {version}


def version(job, ctx):
    return VERSION


tempotask.register_job(name="version", queue="nasty", handler=version)
{rest}
"""
CHANGING = Setting(application="changing:tempotask", files={"changing.py": APP.format(version=0, rest="")})
BROKEN = ("raise RuntimeError('broken')", "this is no Python", "import os; os._exit(3)", "del tempotask")


def reload(*, broken: bool) -> Callable[[World], Injection]:
    """HUP after HUP, the code changing meanwhile; at the end the newest good code is the one that runs."""

    def inject(world: World) -> Injection:
        file, newest = world.folder / "changing.py", 0
        for version in range(1, 11):
            rest = world.random.choice(BROKEN) if broken and version % 2 else ""
            other = file.with_suffix(".new")
            other.write_text(APP.format(version=version, rest=rest))
            other.replace(file)
            newest = newest if rest else version
            for supervisor in world.supervisors:
                supervisor.signal(signal.SIGHUP)
            time.sleep(world.random.uniform(0.0, 0.3))
        at = time.monotonic()
        # The last one may have come while an import was under way.
        for supervisor in world.supervisors:
            supervisor.signal(signal.SIGHUP)
        wait_until(lambda: _versions(world) == {newest}, "the newest good code does not run")
        all_there(world)
        return Injection(at=at)

    return inject


def _versions(world: World) -> set[int]:
    handles = world.add("version", 30)
    return {int(result) for result in handles.results(timeout=LONG)}


# -- who adds jobs

PRODUCER = """
import sys
from tempotask import QueueManager
from torture.chore import Chore
url, namespace, mark = sys.argv[1:]
print("begun", flush=True)
QueueManager.init(db=url, namespace=namespace).enqueue(name="short", queue="a", data=Chore(mark))
"""


def kill_producer(direction: Direction) -> Callable[[World], Injection]:
    """Who adds a job dies before the server has it, or before it knows that."""

    def inject(world: World) -> Injection:
        mark = world.debts.mark()
        world.debts.maybe[mark] = Owed(mark)
        command = [sys.executable, "-c", PRODUCER, world.proxy.url, world.namespace, mark]
        path = os.pathsep.join((str(TESTS), str(TESTS.parent)))
        environment = {**os.environ, **world.environment(), "PYTHONPATH": path}
        producer = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        hold = world.proxy.hold("enqueue", direction, [producer.pid])
        try:
            if not hold.reached.wait(LONG):
                raise RuntimeError("the producer adds nothing")
            producer.kill()
            producer.wait(LONG)
        finally:
            hold.release()
        return Injection()

    return inject


FAULTS = [
    Fault("supervisor killed", "process", kill, quick=True),
    Fault("supervisor killed with its tree", "process", kill_tree),
    Fault("supervisor stopped for a moment", "process", stop(0.01, 0.5)),
    Fault("supervisor stopped past the lease", "process", stop_past_lease, mixed=False),
    Fault("supervisor's tree stopped for a moment", "process", stop(0.01, 0.5, tree=True)),
    Fault("supervisor's tree stopped past the lease", "process", stop(5.0, 7.0, tree=True)),
    Fault("supervisor told to end", "process", end(storm=False)),
    Fault("supervisor told to end again and again", "process", end(storm=True)),
    *(
        Fault(f"supervisor killed {when} its {script}", "process", kill_at(script, direction), mixed=False)
        for script in ("give_back", "register", "renew", "sweep", "leave")
        for direction, when, _ in MOMENTS
    ),
    Fault("code changes under HUPs", "process", reload(broken=False), CHANGING, mixed=False),
    Fault("code breaks under HUPs", "process", reload(broken=True), CHANGING, mixed=False),
    Fault("producer killed before its job is in", "process", kill_producer("request")),
    Fault("producer killed after its job is in", "process", kill_producer("reply")),
]
