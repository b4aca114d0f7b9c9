"""The judge of the torture harness is shown each kind of violation, and finds it; and none where there is none."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from torture.campaign import Campaign, Size, drawn_from
from torture.debts import Owed
from torture.fault import Fault, Injection, NotHere, Setting, Violation
from torture.judge import BLAMED, LOST, OTHER, TWICE, Blame, Case, Ended, Facts, check
from torture.ledger import PATH, Entry, Ledger, Pen
from torture.leftovers import SHARED, Census, left
from torture.receipts import UNTOLD, Receipt
from torture.table import report
from torture.tally import Tally, percentile
from torture.world import World

AGAIN = "runs again, alone (crash 1 of 3)"


def entry(what: str, job: str, of: str = "m1", pid: int = 1, at: float = 1.0, token: int = 1) -> Entry:
    name = "short" if of.startswith("m") else "child"
    return Entry(what, job, token, 1, pid, at, name, of)


def run(job: str, of: str, pid: int = 1, at: float = 1.0, token: int = 1) -> list[Entry]:
    return [entry("start", job, of, pid, at, token), entry("end", job, of, pid, at + 0.1, token)]


def proper() -> Facts:
    """One job and its child, as they should be."""
    entries = [*run("p", "m1"), *run("c", "p", at=2.0)]
    outcomes = {"p": Ended("completed", "p/1/1"), "c": Ended("completed", "c/1/1")}
    receipts = [Receipt("p", "completed", "p/1/1", 1.5)]
    return Facts({"p": Owed("m1")}, {}, entries, outcomes, receipts, [], 2, now=3.0)


def found(facts: Facts) -> list[str]:
    return [one.kind for one in Case(facts).judge().found]


def test_what_is_in_order_is_no_violation() -> None:
    verdict = Case(proper()).judge()
    assert (verdict.found, verdict.jobs, verdict.reruns) == ([], 2, 0)


def test_a_job_that_was_acknowledged_and_is_nowhere_is_lost() -> None:
    facts = proper()
    facts.owed = {**facts.owed, "q": Owed("m2")}
    (lost,) = Case(facts).judge().found
    assert lost.kind == LOST
    assert "job q has no outcome" in lost.text
    assert lost.evidence
    facts.allows = frozenset({"lost"})
    assert not found(facts)
    assert Case(facts).judge().lost_by_nature == 1


def test_a_job_whose_adding_ended_with_an_error_need_not_be_there() -> None:
    facts = proper()
    facts.maybe = {"m2": Owed("m2")}
    assert not found(facts)


def test_one_that_is_there_after_all_is_judged_like_others() -> None:
    facts = proper()
    facts.maybe, facts.owed = {"m1": Owed("m1")}, {}
    assert not found(facts)
    facts.outcomes = {"c": Ended("completed", "c/1/1")}
    assert LOST in found(facts)


def test_a_result_that_no_run_finished_with_is_wrong() -> None:
    facts = proper()
    facts.entries = [one for one in facts.entries if (one.job, one.what) != ("p", "end")]
    assert found(facts) == [LOST]


def test_an_outcome_that_a_job_must_not_have_is_a_loss() -> None:
    facts = proper()
    facts.entries, facts.receipts, facts.completed = run("p", "m1"), [], 0
    facts.outcomes = {"p": Ended("ValueError", None, "no")}
    assert found(facts) == [LOST]
    facts.owed = {"p": Owed("m1", ("ValueError",))}
    assert not found(facts)


def test_a_child_that_was_committed_and_never_ran_is_lost() -> None:
    facts = proper()
    facts.entries = run("p", "m1")
    assert found(facts) == [LOST]


def test_who_waits_and_is_never_told_has_lost_a_job() -> None:
    facts = proper()
    facts.receipts = [Receipt("p", UNTOLD, None, 2.9)]
    assert found(facts) == [LOST]


def test_a_job_that_ran_twice_and_was_settled_twice_is_found_by_its_children() -> None:
    facts = proper()
    facts.entries = [*facts.entries, *run("p", "m1", pid=2, at=1.0, token=2), *run("d", "p", pid=2, at=2.0)]
    facts.outcomes = {**facts.outcomes, "d": Ended("completed", "d/1/2")}
    facts.completed = 3
    verdict = Case(facts).judge()
    assert [one.kind for one in verdict.found] == [TWICE]
    assert "2 children" in verdict.found[0].text
    assert verdict.reruns == 1
    facts.allows = frozenset({"rerun"})
    assert not found(facts)


def test_a_job_that_ran_twice_and_was_settled_once_is_no_violation() -> None:
    facts = proper()
    facts.entries = [entry("start", "p", pid=2, at=0.5, token=0), *facts.entries]
    assert not found(facts)


def test_more_completed_jobs_than_there_are_is_one_settled_twice() -> None:
    facts = proper()
    facts.completed = 3
    assert found(facts) == [TWICE]


def test_two_different_results_for_one_handle_are_one_settled_twice() -> None:
    facts = proper()
    facts.receipts = [Receipt("p", "completed", "p/0/7", 2.5)]
    assert found(facts) == [TWICE]


def test_a_job_that_runs_again_after_its_result_was_handed_out_is_found() -> None:
    facts = proper()
    facts.entries = [*facts.entries, entry("start", "p", pid=2, at=1.7, token=2)]
    assert found(facts) == [TWICE]


def test_two_jobs_of_one_adding_are_found() -> None:
    facts = proper()
    facts.entries = [*facts.entries, *run("p2", "m1"), *run("c2", "p2")]
    facts.outcomes = {**facts.outcomes, "p2": Ended("completed", "p2/1/1"), "c2": Ended("completed", "c2/1/1")}
    facts.completed = 4
    assert found(facts) == [TWICE]


def test_a_job_that_nobody_added_is_found() -> None:
    facts = proper()
    facts.entries = [*facts.entries, *run("x", "m9")]
    assert found(facts) == [TWICE]


def test_a_child_of_a_job_that_failed_is_found() -> None:
    facts = proper()
    facts.owed = {"p": Owed("m1", ("ValueError",))}
    facts.outcomes = {**facts.outcomes, "p": Ended("ValueError")}
    facts.receipts, facts.completed = [], 1
    assert found(facts) == [TWICE]


@pytest.mark.parametrize(
    ("written", "job", "wrong"),
    [
        ([entry("start", "p", pid=5)], "p", False),
        ([entry("start", "p", pid=5)], "q", True),
        (run("p", "m1", pid=5), "p", False),
        (run("p", "m1", pid=5), "q", False),
        ([*run("q", "m2", pid=5), *run("p", "m1", pid=5)], "q", True),
        ([], "q", False),
    ],
)
def test_only_the_job_that_a_dead_process_ran_may_be_blamed(written: list[Entry], job: str, wrong: bool) -> None:
    facts = proper()
    facts.owed = {**facts.owed, "q": Owed("m2")}
    facts.entries = [*facts.entries, *written]
    facts.blames = [Blame(5, job, AGAIN, "its line of the log")]
    facts.outcomes = {**facts.outcomes, "q": Ended("completed", "q/1/5")}
    blamed = [one for one in Case(facts).judge().found if one.kind == BLAMED]
    assert bool(blamed) is wrong
    if wrong:
        assert "its line of the log" in blamed[0].evidence


def test_a_job_that_went_back_unmarked_is_not_blamed() -> None:
    facts = proper()
    facts.entries = [*facts.entries, entry("start", "p", pid=5, token=0, at=0.0)]
    facts.blames = [Blame(5, "q", "runs again, unmarked", "")]
    assert not found(facts)


def test_a_job_that_fails_as_crashed_needs_as_many_deaths_of_its_own() -> None:
    facts = proper()
    facts.entries = [entry("start", "p", pid=pid, token=pid) for pid in (5, 6)]
    facts.blames = [Blame(6, "p", "failed as WorkerCrashed", "")]
    facts.outcomes, facts.receipts, facts.completed = {"p": Ended("WorkerCrashed")}, [], 0
    facts.owed = {"p": Owed("m1", ("WorkerCrashed",))}
    assert found(facts) == [BLAMED]
    facts.blames = [*facts.blames, Blame(7, "p", AGAIN, "")]
    assert not found(facts)


def test_a_job_without_a_timeout_that_ran_out_of_time_is_blamed_wrongly() -> None:
    facts = proper()
    facts.entries, facts.receipts, facts.completed = [entry("start", "p", pid=5)], [], 0
    facts.blames = [Blame(5, "p", "failed as JobTimeout", "")]
    facts.outcomes = {"p": Ended("JobTimeout")}
    assert found(facts) == [BLAMED, BLAMED]
    facts.owed = {"p": Owed("m1", ("JobTimeout",), has_timeout=True)}
    assert not found(facts)


# -- what is looked at outside of the ledger


def test_what_check_finds_is_a_violation() -> None:
    with closing(World()) as world:
        assert not check(world)
        world.direct.set(f"{{{world.namespace}}}:nonsense", 1)
        (one,) = check(world)
    assert one.kind == OTHER
    assert any("is no key of ours" in line for line in one.evidence)


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="torture-") as name:
        (Path(name) / "tmp").mkdir()
        yield Path(name)


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


# -- all together, on real processes


def steal_and_double(world: World) -> Injection:
    """What must not happen: of the jobs that wait one is gone, and one is there twice."""
    key = f"{{{world.namespace}}}:queue:0:a"
    assert world.direct.rpop(key)
    world.direct.rpush(key, world.direct.lindex(key, -1) or b"")
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


def test_a_percentile_is_a_value_that_so_large_a_share_does_not_exceed() -> None:
    assert percentile([3.0], 0.99) == 3.0
    assert percentile([4.0, 1.0, 3.0, 2.0], 0.5) == 2.0
    assert percentile([float(number) for number in range(1, 201)], 0.99) == 198.0


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, as a process."""
    tests = Path(__file__).parent.parent
    environment = {**os.environ, "PYTHONPATH": str(tests)}
    return subprocess.run(
        [sys.executable, "-m", "torture", *arguments], capture_output=True, text=True, env=environment
    )


def test_the_command_lists_the_faults_and_says_what_to_type_instead_of_one_that_is_none() -> None:
    listed = command("--list")
    assert listed.returncode == 0
    assert "worker killed" in listed.stdout
    wrong = command("quick", "--only", "worker kiled")
    assert wrong.returncode == 2
    assert "did you mean 'worker killed'?" in wrong.stderr
    assert command("run").returncode == 2
    assert command().returncode == 2
