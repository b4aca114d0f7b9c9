"""A torture campaign on real processes: what it finds, what it says, and that nothing is left of it."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from threading import Event

import psutil
import pytest
from pool.running import wait_until
from torture.campaign import Campaign, Size, drawn_from
from torture.fault import Fault, Injection, NotHere, Overtaken, Setting, Violation
from torture.faults import FAULTS
from torture.judge import LOST, OTHER, TWICE, Verdict, check, is_blame, read_blames
from torture.ledger import PATH, Ledger, Pen
from torture.leftovers import SHARED, Census, left
from torture.part import Attempt, Part
from torture.table import report
from torture.tally import Tally
from torture.world import World

from tempotask.errors import ResultExpired, ServerUnavailable

# -- what is looked at beside the ledger


def test_what_check_finds_is_a_violation() -> None:
    with closing(World()) as world:
        assert not check(world)
        world.direct.set(f"{{{world.namespace}}}:nonsense", 1)
        (one,) = check(world)
    assert one.kind == OTHER
    assert any("is no key of ours" in line for line in one.evidence)


def test_the_judge_knows_a_blame_by_what_supervisors_really_say() -> None:
    with closing(World(Setting(supervisors=1, workers=1, load=False))) as world:
        world.start()
        (poison,) = world.add("poison", expect=("WorkerCrashed",), max_crashes=2)
        (late,) = world.add("ignores_its_end", expect=("JobTimeout",), timeout=0.1)
        wait_until(lambda: len(world.lines('"verdict":"failed as')) == 2, "their ends are not told")
        told = [blame for line in world.new_lines() for blame in read_blames(line)]
    assert [one.verdict for one in told if one.job == poison.id and is_blame(one)] == [
        "runs again, alone (crash 1 of 2)",
        "failed as WorkerCrashed",
    ]
    assert [one.verdict for one in told if one.job == late.id and not is_blame(one)] == ["failed as JobTimeout"]
    assert len(told) == 3


def test_a_process_that_is_left_behind_is_found_and_ended(folder: Path) -> None:
    before = Census.take()
    with subprocess.Popen(["sleep", "600"]):
        (one,) = left(before, folder, patience=0.1)
        assert "sleep 600" in one
    assert not [*left(before, folder)]


def test_a_file_a_socket_and_a_descriptor_that_are_left_behind_are_found(folder: Path) -> None:
    before = Census.take()
    (folder / "tmp" / "forgotten").touch()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{folder}/forgotten.sock")
        number = listener.fileno()
        descriptor, unix, file = left(before, folder)
    assert descriptor.startswith(f"descriptor {number} ")
    assert unix == f"socket {folder}/forgotten.sock"
    assert file == f"file {folder}/tmp/forgotten"


def test_shared_memory_that_is_left_behind_is_found(folder: Path) -> None:
    before = Census.take()
    with tempfile.NamedTemporaryFile(dir=SHARED, prefix="torture-") as file:
        file.file.close()
        assert f"shared memory {file.name}" in [*left(before, folder, patience=0.2)]


# -- the ledger


def test_the_ledger_has_what_handlers_wrote_whatever_they_do_to_their_descriptors(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(Ledger(folder)) as ledger:
        monkeypatch.setenv(PATH, ledger.server.path)
        pen = Pen()
        pen.write("start", "j", 1, 1, "short", "m1")
        assert ledger.busy() == {os.getpid()}
        if not (child := os.fork()):
            pen.write("start", "k", 2, 1, "short", "m2")
            # Another file gets the number of the closed one.
            os.dup2(os.open("/dev/null", os.O_RDWR), pen._socket.fileno() if pen._socket else -1)
            pen.write("end", "k", 2, 1, "short", "m2")
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        pen.write("end", "j", 1, 1, "short", "m1")
        assert [(one.what, one.job, one.pid) for one in ledger.entries()] == [
            *(("start", "j", os.getpid()), ("start", "k", child)),
            *(("end", "k", child), ("end", "j", os.getpid())),
        ]
        assert not ledger.busy()
        assert ledger.ended == {"j", "k"}
        ledger.forget()
        assert not ledger.entries()


# -- several faults at once


def part(*faults: Fault, supervisors: int = 0) -> tuple[Verdict, list[Attempt]]:
    """What comes of all of them together, in one world."""
    with closing(World(Setting(supervisors=supervisors, workers=1, load=False))) as world:
        world.start()
        together = Part(world, faults, 1, 0, 0)
        return together.run(), together.attempts


@pytest.mark.slow
def test_faults_that_end_supervisors_at_the_same_time_each_end_one() -> None:
    names = ("supervisor killed", "supervisor told to end", "supervisor killed with its tree", "nursery killed")
    verdict, attempts = part(*(fault for fault in FAULTS if fault.name in names), supervisors=1)
    assert not verdict.found
    failed = [f"{one.fault.name}: {one.trace}" for one in attempts if not (one.injection or one.overtaken)]
    assert not failed
    assert all(one.injection for one in attempts if one.fault.name.startswith("supervisor"))


def meet(error: Exception) -> Callable[[World], Injection]:
    def inject(world: World) -> Injection:
        raise error

    return inject


@pytest.mark.parametrize(
    ("error", "beside", "right"),
    [
        (Overtaken("gone"), "process", True),
        (psutil.NoSuchProcess(1), "process", True),
        (ServerUnavailable("away"), "server", True),
        (ServerUnavailable("away"), "process", False),
        (ResultExpired("of a job"), "process", False),
        (KeyError("a mistake of the fault's"), "process", False),
        (AssertionError("the death is not noticed"), "process", False),
    ],
)
def test_only_what_another_fault_may_bring_about_is_not_held_against_a_fault(
    error: Exception, beside: str, right: bool
) -> None:
    _, (met, _) = part(Fault("one", "process", meet(error)), Fault("other", beside, do_nothing))
    assert met.overtaken is right


def test_a_fault_that_is_alone_was_overtaken_by_nobody() -> None:
    _, (met,) = part(Fault("one", "process", meet(Overtaken("gone"))))
    assert met.error is not None
    assert not met.overtaken


def test_a_fault_that_is_not_over_in_its_time_could_not_be_injected() -> None:
    over = Event()

    def inject(world: World) -> Injection:
        over.wait(60)
        return Injection()

    _, (hung,) = part(Fault("one", "process", inject, within=0.1))
    over.set()
    assert isinstance(hung.error, TimeoutError)


# -- all together, on real processes


STEAL_AND_DOUBLE = """
local last = redis.call('LRANGE', KEYS[1], -2, -1)
if not last[2] or last[1] == '' or last[2] == '' then return 0 end
redis.call('LSET', KEYS[1], -1, last[1])
return 1
"""


def steal_and_double(world: World) -> Injection:
    """What must not happen: of the jobs that wait one is gone, and one is there twice."""
    key = f"{{{world.namespace}}}:queue:0:a"
    # On a busy machine all may have been worked off for a moment.
    wait_until(lambda: world.direct.eval(STEAL_AND_DOUBLE, 1, key), "no two jobs wait")
    return Injection()


def see(world: World) -> Injection:
    raise Violation("the sky is green")


def fail(world: World) -> Injection:
    raise RuntimeError("no")


def refuse(world: World) -> Injection:
    raise NotHere("no hands")


def do_nothing(world: World) -> Injection:
    return Injection(noticed=0.1)


@pytest.fixture
def temporary(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folders of worlds with a violation, which are kept, go with the test."""
    monkeypatch.setattr(tempfile, "tempdir", str(folder))


def roll(world: World) -> Injection:
    """Says what chance brings."""
    return Injection(note=str(world.random.random()))


def roll_again(world: World) -> Injection:
    return roll(world)


def torture(
    *injections: Callable[[World], Injection], load: bool, seed: int = 1, under_way: list[str] | None = None
) -> Tally:
    setting = Setting(supervisors=int(load), workers=1, server=(), load=load)
    faults = [Fault(inject.__name__, "process", inject, setting) for inject in injections]
    campaign = Campaign(faults, seed, Size(100, 500), lambda tally, now: (under_way or []).append(now))
    try:
        campaign.once()
    finally:
        campaign.end()
    return campaign.tally


@pytest.mark.usefixtures("temporary")
def test_a_campaign_finds_a_job_that_somebody_steals_and_one_that_somebody_doubles() -> None:
    tally = torture(steal_and_double, load=True)
    assert tally.rows["steal_and_double"].found["lost"]
    assert tally.rows["steal_and_double"].found["settled twice"]
    assert not tally.holds
    assert tally.jobs >= 1000
    for _, _, kept in tally.violations:
        assert (Path(kept) / "evidence").stat().st_size
    told = json.loads(json.dumps(report(tally, 1, 1.0)))
    assert (told["holds"], told["seed"], told["lost"], told["settled_twice"]) == (
        False,
        1,
        *map(tally.found.get, (LOST, TWICE)),
    )
    assert {"cores", "commit", "server", "python"} <= told["machine"].keys()
    assert any("start" in line for one in told["violations"] for line in one["evidence"])


@pytest.mark.usefixtures("temporary")
def test_a_campaign_tells_what_a_fault_sees_and_what_could_not_be_injected() -> None:
    tally = torture(do_nothing, see, fail, refuse, load=False)
    assert tally.rows["see"].found["other"] == 1
    assert [name for name, _ in tally.failures] == ["fail"]
    assert tally.rows["refuse"].not_here == "no hands"
    assert tally.rows["do_nothing"].noticed == [0.1]
    assert [found.text for found, _, _ in tally.violations] == ["see: the sky is green"]


def test_the_same_seed_brings_the_same_faults_and_the_same_choices() -> None:
    def rolled(seed: int) -> tuple[list[str], list[str]]:
        order = ["begin"]
        tally = torture(roll, roll_again, load=False, seed=seed, under_way=order)
        assert tally.holds
        return order, [note for row in tally.rows.values() for note in row.notes]

    first = rolled(1)
    assert first == rolled(1)
    assert len(set(first[1])) == 2
    assert first[1] != rolled(2)[1]


@pytest.mark.parametrize("seed", range(20))
def test_of_the_server_and_the_way_to_it_only_one_is_broken_at_a_time(seed: int) -> None:
    groups = ("server", "network", "process", "handler")
    deck = [Fault(f"{group} {number}", group, do_nothing) for group in groups for number in range(3)]
    deck = random.Random(seed).sample(deck, len(deck))
    known, drawn = list(deck), []
    while deck:
        part = drawn_from(deck, 3)
        assert sum(fault.group in ("server", "network") for fault in part) <= 1
        drawn += part
    assert sorted(fault.name for fault in drawn) == sorted(fault.name for fault in known)
