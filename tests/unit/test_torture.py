"""The judge of the torture harness is shown each kind of violation, and finds it; and none where there is none."""

from __future__ import annotations

import pytest
from torture.debts import Owed
from torture.judge import BLAMED, LOST, SUSPECTED, TWICE, Blame, Case, Ended, Facts, read_blames
from torture.ledger import Entry
from torture.receipts import UNTOLD, Receipt
from torture.tally import percentile

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


@pytest.mark.parametrize(
    ("written", "job", "wrong"),
    [
        ([*run("q", "m2", pid=5), *run("p", "m1", pid=5)], "q", False),
        ([*run("q", "m2", pid=6), *run("p", "m1", pid=5)], "q", True),
        ([*run("q", "m2", pid=5), entry("start", "p", pid=5)], "q", True),
    ],
)
def test_only_jobs_that_had_ended_in_a_process_that_died_behind_them_may_be_suspected(
    written: list[Entry], job: str, wrong: bool
) -> None:
    facts = proper()
    facts.owed = {**facts.owed, "q": Owed("m2")}
    facts.entries = [*facts.entries, *written]
    facts.blames = read_blames(f'{{"level": "warning", "pid": 5, "suspected": ["{job}", "p"]}}')
    assert [blame.job for blame in facts.blames] == [job, "p"]
    assert any(one.kind == BLAMED for one in Case(facts).judge().found) is wrong


def test_a_job_that_fails_as_crashed_may_have_been_suspected_of_each_death() -> None:
    facts = proper()
    facts.owed = {"p": Owed("m1", ("WorkerCrashed",))}
    facts.outcomes = {"p": Ended("WorkerCrashed")}
    facts.entries = [each for pid in range(6) for each in run("p", "m1", pid=pid, token=pid)]
    facts.receipts, facts.completed = [], None
    facts.blames = [Blame(pid, "p", SUSPECTED, "") for pid in range(6)]
    assert not found(facts)
    facts.blames = []
    assert found(facts) == [BLAMED]


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


def test_a_percentile_is_a_value_that_so_large_a_share_does_not_exceed() -> None:
    assert percentile([3.0], 0.99) == 3.0
    assert percentile([4.0, 1.0, 3.0, 2.0], 0.5) == 2.0
    assert percentile([float(number) for number in range(1, 201)], 0.99) == 198.0


def test_what_is_said_of_a_death_is_read_behind_what_a_dying_process_has_left_open() -> None:
    told = '{"level": "warning", "pid": 5, "job": "p", "verdict": "runs again, unmarked"}'
    for line in (told, f'  File "{told}'):
        assert read_blames(line) == [Blame(5, "p", "runs again, unmarked", line)]
