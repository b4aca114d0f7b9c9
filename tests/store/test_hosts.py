"""What the scripts promise about supervisors and their leases, and to those who look: sweep, register, renew, leave,
quiet, find."""

from __future__ import annotations

import pytest
from play import (
    HOUR,
    act,
    enqueue,
    hire,
    names,
    results_of,
    revise,
    revision,
    tried_again,
    turn,
)
from rules import lease_of

from tempotask.store.acting import Acting
from tempotask.store.lists import Filter
from tempotask.store.records import decode_record
from tempotask.store.store import Store

# -- sweep, register, renew, leave


def test_a_lease_that_has_not_run_out_is_not_swept(store: Store) -> None:
    hire(store, "w", supervisor="lost")
    hire(store, supervisor="s")
    assert store.sweep("s", 10, "lost", lease_of(store, "lost")) is None
    assert store.renew("lost", 10, tidy=False)


def test_the_lease_of_a_process_that_is_known_to_be_gone_is_swept_at_once(store: Store) -> None:
    hire(store, "w", supervisor="lost")
    hire(store, supervisor="s")
    assert store.sweep("s", 10, "lost", lease_of(store, "lost"), dead=True) == ["w"]


def test_a_sweep_tells_which_workers_are_to_be_given_back_until_they_are(store: Store) -> None:
    hire(store, "w1", "w2", supervisor="lost", lease=0)
    hire(store, supervisor="s")
    seen = lease_of(store, "lost")
    assert sorted(store.sweep("s", 10, "lost", seen) or ()) == ["w1", "w2"]
    store.give_back_all("w1")
    assert store.sweep("s", 10, "lost", "swept") == ["w2"]
    store.give_back_all("w2")
    assert store.sweep("s", 10, "lost", "swept") == []
    assert lease_of(store, "lost") == ""
    assert "lost" not in store.registrations()


def test_a_supervisor_does_not_leave_while_workers_of_it_are_registered(store: Store) -> None:
    hire(store, "w")
    assert store.leave("s") == 1
    assert store.renew("s", 10, tidy=False)
    store.give_back_all("w")
    assert store.leave("s") == 0
    assert store.renew("s", 10, tidy=False) is None
    assert not names(store) - {"format"}


def test_a_swept_supervisor_does_not_take_the_half_done_sweep_with_it(store: Store) -> None:
    hire(store, "w", supervisor="lost", lease=0)
    hire(store, supervisor="s")
    enqueue(store, "a")
    assert turn(store, "w", 1).ids == ["a"]
    store.sweep("s", 10, "lost", lease_of(store, "lost"))
    store.leave("lost")
    assert store.sweep("s", 10, "lost", "swept") == ["w"]


def test_renewing_tells_the_other_leases_and_when_the_next_job_is_due(store: Store) -> None:
    hire(store, supervisor="s")
    hire(store, supervisor="other", lease=100)
    due = int(store.now()) + 500
    enqueue(store, "a", due=due)
    renewal = store.renew("s", 10, tidy=True)
    assert renewal
    assert renewal.next_due == due
    assert renewal.leases == {"other": lease_of(store, "other")}
    assert renewal.now == pytest.approx(store.now(), abs=30)
    renewal = store.renew("s", 10, tidy=False)
    assert renewal
    assert renewal.next_due is None


def test_a_lease_that_ran_out_and_that_nobody_has_swept_may_be_renewed(store: Store) -> None:
    hire(store, supervisor="s", lease=0)
    assert store.renew("s", 10, tidy=False)
    assert int(lease_of(store, "s")) > store.now() * 1000


# -- quiet, find


def test_nothing_is_quiet_while_jobs_wait_run_or_pause_between_tries(store: Store) -> None:
    hire(store, "w")
    assert store.quiet()
    enqueue(store, "a")
    assert not store.quiet()
    batch = turn(store, "w", 1).batch
    assert batch
    assert not store.quiet()
    turn(store, "w", 2, results=results_of(batch, how=lambda record: tried_again(record, HOUR)))
    assert not store.quiet()


def test_what_its_producer_delayed_is_waited_for_only_if_asked(store: Store) -> None:
    enqueue(store, "a", due=store.now() + 3600)
    assert store.quiet()
    assert not store.quiet(delayed=True)


def mark(store: Store, id: str) -> bytes:
    return bytes(store.run("find", id, "mark"))


def moved(store: Store, id: str, mark: bytes) -> bool:
    return bool(store.run("find", id, "unmark", mark) == b"1")


@pytest.mark.parametrize("due", [None, 4e9])
def test_who_looks_for_a_job_learns_that_it_was_resumed(store: Store, due: float | None) -> None:
    enqueue(store, "a", due=due)
    place = ("set", "due", 0, 10) if due else ("list", "queue:0:q", 0, 10)
    assert act(store, "pause", *place, id="a")[0] == 1
    seen = mark(store, "a")
    assert act(store, "resume", "parked", "", 10, "WDR", id="a")[0] == 1
    assert moved(store, "a", seen)


def test_who_looks_for_a_job_learns_that_it_waits_again(store: Store) -> None:
    hire(store, "w")
    enqueue(store, "a")
    batch = turn(store, "w", 1).batch
    assert batch
    turn(store, "w", 2, 0, results_of(batch))
    seen = mark(store, "a")
    (page,) = store.read("LRANGE", "history:q:completed", 0, -1)
    assert revise(store, revision("q", "completed", page, 0, again=True)) == [1]
    assert moved(store, "a", seen)


@pytest.mark.parametrize("way", ["given back", "tried again at once", "tried again later", "promoted"])
def test_who_looks_for_a_job_learns_that_it_moved_against_the_look(store: Store, way: str) -> None:
    hire(store, "w")
    enqueue(store, "a", due=store.now() - 1 if way == "promoted" else None)
    batch = None if way == "promoted" else turn(store, "w", 1).batch
    seen = mark(store, "a")
    if batch is None:
        turn(store, "w", 2)
    elif way == "given back":
        store.give_back_all("w")
    else:
        pause = HOUR if way.endswith("later") else 0
        turn(store, "w", 2, 0, results_of(batch, how=lambda record: tried_again(record, pause)))
    assert moved(store, "a", seen)


def test_who_looks_for_a_job_that_stays_learns_that_it_stayed(store: Store) -> None:
    enqueue(store, "a", "b")
    seen = mark(store, "a")
    hire(store, "w")
    turn(store, "w", 1)
    assert not moved(store, "a", seen)


def test_two_who_look_for_one_job_both_learn_that_it_moved(store: Store) -> None:
    hire(store, "w")
    enqueue(store, "a")
    turn(store, "w", 1)
    mine = mark(store, "a")
    store.give_back_all("w")
    theirs = mark(store, "a")
    assert moved(store, "a", mine)
    assert not moved(store, "a", theirs), "that was before they began to look"


def test_two_who_look_for_one_job_that_stays_both_learn_that_it_stayed(store: Store) -> None:
    enqueue(store, "a")
    mine, theirs = mark(store, "a"), mark(store, "a")
    assert not moved(store, "a", mine)
    assert not moved(store, "a", theirs)
    assert not store.read("EXISTS", "wanted")


@pytest.mark.parametrize("where", ["list", "all of a list", "due", "history"])
def test_who_looks_for_a_job_learns_that_others_went_behind_which_it_may_have_been(store: Store, where: str) -> None:
    enqueue(store, "a", "b", due=4e9 if where == "due" else None, given_id=True)
    acting = Acting(store, 200)
    if where == "history":
        acting.cancel("b")
    seen = mark(store, "a")
    if where == "all of a list":
        acting.cancel_all(Filter("q"))
    else:
        acting.delete("b")
    assert moved(store, "a", seen)


def test_a_look_finds_the_record_by_its_id_and_not_by_what_it_holds(store: Store) -> None:
    enqueue(store, "b", payload="a")
    enqueue(store, "a")
    assert decode_record(store.run("find", "a", "list", "queue:0:q", -10, -1)).id == "a"
    assert store.run("find", "c", "list", "queue:0:q", -10, -1) == b""
    enqueue(store, "d", due=store.now() + 3600)
    assert decode_record(store.run("find", "d", "set", "due", 0, 9)).id == "d"
