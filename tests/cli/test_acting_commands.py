"""The commands that act on queues and jobs, as they are typed."""

from __future__ import annotations

import os
import pty
import subprocess

import pytest
from cli.typed import PROGRAM, Run, finish

from tempotask import QueueManager, Repeat
from tempotask.store import lists, look, schedules, shown
from tempotask.store.lists import Filter
from tempotask.store.schedules import Schedule
from tempotask.store.store import Store


def add(run: Run, *ids: str, queue: str = "images", name: str = "shrink") -> None:
    for id in ids:
        assert run("enqueue", queue, name, "--id", id).status == 0


def statuses(store: Store) -> dict[str, str]:
    return {found.id: found.status for found in lists.jobs(store)[0]}


def test_queues_are_paused_and_resumed(run: Run, store: Store) -> None:
    add(run, "a")
    assert run("pause", "images") == (0, "queue images is paused\n", "")
    assert run("queues").out.splitlines()[1].split()[:3] == ["images", "yes", "1"]
    assert run("pause", "images").out == "queue images was paused before\n"
    assert store.read("EXISTS", "ring") == 0
    assert run("resume", "images", "--json").objects == [{"queue": "images", "paused": False, "changed": True}]
    assert store.read("LRANGE", "ring", 0, -1) == [b"images"]
    unknown = run("pause", "imgaes")
    assert (unknown.status, unknown.out) == (0, "queue imgaes is paused\n")
    assert "queue imgaes has had no jobs so far" in unknown.err


def test_a_job_that_is_paused_already_is_told_as_paused(run: Run, store: Store) -> None:
    add(run, "a")
    assert run("pause", "--job", "a", "--json").objects == [{"id": "a", "paused": True, "changed": True}]
    again = run("pause", "--job", "a", "--json")
    assert (again.status, again.objects) == (1, [{"id": "a", "paused": True, "changed": False}])


def test_what_is_cancelled_here_leaves_what_the_application_keeps(run: Run, store: Store) -> None:
    many = 210  # more than are kept where nobody says how many
    add(run, "one")
    with QueueManager.init(
        store.server.url, namespace=store.namespace, options={"max_jobs_per_status": 1000}
    ) as manager:
        manager.enqueue_many({"name": "shrink", "queue": "images"} for _ in range(many))
        assert manager._client.acting.cancel_all(Filter(name="shrink")) == many + 1
        manager.enqueue(name="shrink", queue="images", options={"id": "two"})
    assert run("cancel", "two").status == 0
    assert len(lists.jobs(store, status="cancelled", limit=1000)[0]) == many + 2


def test_no_queue_is_paused_when_one_is_not_spelt_right(run: Run, store: Store) -> None:
    add(run, "a")
    ended = run("pause", "images", "a b")
    assert (ended.status, ended.out) == (2, "")
    assert store.read("SCARD", "paused") == 0


def test_to_resume_a_queue_that_is_not_paused_says_so(run: Run) -> None:
    add(run, "a")
    assert run("resume", "images") == (0, "queue images was not paused before\n", "")
    unknown = run("resume", "never")
    assert (unknown.status, unknown.out) == (0, "queue never was not paused before\n")
    assert "queue never has had no jobs so far" in unknown.err


@pytest.mark.parametrize("wrong", [["--queue", "a b"], ["--name", "a b"], ["--status", "lost"]])
@pytest.mark.parametrize("command", ["jobs", "cancel", "retry", "delete"])
def test_what_can_be_no_queue_task_or_status_is_told_apart_from_one_without_jobs(
    run: Run, command: str, wrong: list[str]
) -> None:
    ended = run(command, *wrong, *(["--yes"] if command == "delete" else []))
    assert (ended.status, ended.out) == (2, "")
    assert repr(wrong[1]) in ended.err


def test_single_jobs_are_paused_and_resumed(run: Run) -> None:
    add(run, "a", "b", "c")
    assert run("pause", "--job", "a", "b") == (0, "job a is paused\njob b is paused\n", "")
    assert [told["paused"] for told in run("jobs", "--json").objects] == [False, True, True]
    assert "waiting, paused" in run("jobs").out
    assert "paused" in run("job", "a").out
    again = run("pause", "--job", "a", "c")
    assert (again.status, again.out) == (1, "job c is paused\n")
    assert again.err == "job a was not paused: it is paused already\n"
    assert run("resume", "--job", "a", "b", "c").status == 0
    assert run("resume", "--job", "a").err == "job a was not resumed: it is not paused\n"
    assert run("pause", "--job", "nope").err.startswith("job nope was not paused: nobody knows it")


@pytest.mark.parametrize("typed", [["--job", "a", "--job", "b"], ["--job=a", "b"], ["--json", "--job", "a", "b"]])
def test_job_may_be_given_once_or_with_each_id(run: Run, typed: list[str]) -> None:
    add(run, "a", "b", "c")
    assert run("pause", *typed).status == 0
    assert [told["id"] for told in run("jobs", "--json").objects if told["paused"]] == ["b", "a"]
    assert run("resume", *typed).status == 0
    assert not any(told["paused"] for told in run("jobs", "--json").objects)


def test_a_schedule_is_not_paused_and_the_line_says_what_to_do(run: Run, store: Store) -> None:
    assert run("enqueue", "images", "tidy", "--id", "nightly", "--repeat", "0 3 * * *").status == 0
    refused = run("pause", "--job", "nightly")
    assert (refused.status, refused.out) == (1, "")
    assert refused.err == "job nightly was not paused: it is a schedule; cancel it\n"
    assert run("cancel", "nightly").status == 0
    declared = Schedule("images:tidy", "images", "tidy", Repeat("0 3 * * *"))
    assert schedules.declare(store, declared)
    refused = run("pause", "--job", "images:tidy")
    says = "it is a schedule, declared by a task: take `repeat` out of its code, or pause its queue\n"
    assert refused.err.endswith(says)
    for command in ("cancel", "delete"):
        assert run(command, "images:tidy").err.endswith(says)
    shown = run("job", "images:tidy")
    assert "delayed" in shown.out
    assert "enqueued_at" not in shown.out, "it was never added"


def test_jobs_are_cancelled_by_id_and_by_filter(run: Run, store: Store) -> None:
    add(run, "a", "b", "c")
    add(run, "d", queue="mail")
    assert run("cancel", "a") == (0, "job a is cancelled\n", "")
    again = run("cancel", "a", "nope", "--json")
    assert (again.status, again.objects) == (1, [{"id": "a", "cancelled": False}, {"id": "nope", "cancelled": False}])
    assert again.err.splitlines()[0] == "job a was not cancelled: it is cancelled"
    assert run("cancel", "--queue", "images") == (0, "2 jobs cancelled\n", "")
    assert statuses(store) == {"a": "cancelled", "b": "cancelled", "c": "cancelled", "d": "waiting"}


def test_failed_jobs_are_tried_again_by_id_and_by_filter(run: Run, store: Store) -> None:
    for id in ("a", "b", "c"):
        add(run, id)
        finish(store, "failed")
        store.give_back_all("w1")
    assert run("retry", "a") == (0, "job a is waiting again\n", "")
    refused = run("retry", "a")
    assert (refused.status, refused.err) == (1, "job a was not retried: it is waiting\n")
    assert run("retry", "--queue", "images", "--name", "shrink", "--status", "failed", "--json").objects == [
        {"retried": 2}
    ]
    assert set(statuses(store).values()) == {"waiting"}
    found = look.find(store, "b")
    assert found is not None
    assert shown.row(found).error is None


def test_jobs_are_deleted_by_id_by_filter_and_all(run: Run, store: Store) -> None:
    add(run, "a", "b")
    add(run, "c", "d", queue="mail")
    assert run("delete", "a") == (0, "job a is deleted\n", "")
    assert run("delete", "a").status == 1
    assert run("delete", "--queue", "mail", "--yes") == (0, "2 jobs deleted\n", "")
    assert run("delete", "--all", "--yes") == (0, "1 job deleted\n", "")
    assert run("jobs", "--json").out == ""


def test_where_nobody_can_be_asked_a_delete_by_filter_needs_yes(run: Run, store: Store) -> None:
    add(run, "a")
    for choice in (["--all"], ["--queue", "images"]):
        ended = run("delete", *choice)
        assert (ended.status, ended.out, ended.err.count("\n")) == (2, "", 1)
        assert "add --yes" in ended.err
    assert statuses(store) == {"a": "waiting"}


@pytest.mark.parametrize(("typed", "left"), [("y", {}), ("n", {"a": "waiting"})])
def test_on_a_terminal_a_delete_by_filter_asks(
    run: Run, store: Store, server_url: str, namespace: str, typed: str, left: dict[str, str]
) -> None:
    add(run, "a")
    command = [*PROGRAM, "delete", "--status", "waiting", "--db", server_url, "--namespace", namespace]
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as it:
        os.close(theirs)
        os.write(ours, f"{typed}\n".encode())
        assert it.stdout is not None
        assert it.stderr is not None
        told, asked = it.stdout.read().decode(), it.stderr.read().decode()
        assert it.wait(60) == (0 if typed == "y" else 1)
    os.close(ours)
    assert f"Delete all jobs of status waiting in namespace {namespace}?" in asked
    assert told == ("1 job deleted\n" if typed == "y" else "")
    assert statuses(store) == left


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        (["pause"], "pause: say what: `tempotask pause QUEUE...` or `tempotask pause --job ID...`"),
        (["resume"], "resume: say what"),
        (["pause", "images", "--job", "a"], "not both"),
        (["pause", "--json", "images", "--job=a"], "not both"),
        (["pause", "--job"], "requires an argument"),
        (["retry"], "say which jobs"),
        (["cancel", "a", "--queue", "q"], "give one of these, not several"),
        (["delete", "--all", "--queue", "q", "--yes"], "give one of these, not several"),
        (["delete"], "or --all"),
        (["retry", "--status", "waiting"], "only finished jobs can be tried again"),
        (["cancel", "--status", "failed"], "finished jobs can't be cancelled; `tempotask delete` deletes them"),
        (["cancel", "--status", "waiting", "--status", "delayed"], "takes one value here, not waiting and delayed"),
        (["delete", "--queue", "x", "--queue", "images", "--yes"], "--queue takes one value here"),
        (["jobs", "--name", "x", "--name", "shrink"], "--name takes one value here"),
        (["delete", "--status", "wating", "--yes"], "there are waiting, delayed"),
        (["delete", "--queue", "a b", "--yes"], "a name is 1 to 200 ASCII letters"),
        (["jobs", "--cursor", "x"], "give what the call before returned"),
    ],
)
def test_bad_use_ends_with_2_and_does_nothing(run: Run, store: Store, typed: list[str], answer: str) -> None:
    add(run, "a")
    ended = run(*typed)
    assert (ended.status, ended.out) == (2, "")
    assert answer in ended.err
    assert statuses(store) == {"a": "waiting"}
    assert store.read("SCARD", "paused") == 0
    assert store.read("HLEN", "parked") == 0


def test_a_long_list_goes_on_where_the_first_part_ended(run: Run) -> None:
    add(run, *(f"a{n}" for n in range(5)))
    first = run("jobs", "--limit", "3", "--json")
    assert [told["id"] for told in first.objects] == ["a4", "a3", "a2"]
    assert first.err.startswith("there are more: --cursor ")
    rest = run("jobs", "--limit", "3", "--json", "--cursor", first.err.split()[-1])
    assert ([told["id"] for told in rest.objects], rest.err) == (["a1", "a0"], "")


def test_a_job_is_added_with_every_option(run: Run, store: Store) -> None:
    options = {"attempts": "3", "retry-delay": "1.5", "backoff": "exponential", "max-retry-delay": "60"}
    options |= {"timeout": "5", "kill-after": "1", "cancel-grace": "2", "max-crashes": "1", "keep-result": "7"}
    flat = [part for name, value in options.items() for part in (f"--{name}", value)]
    assert run("enqueue", "images", "shrink", "--id", "a", *flat).status == 0
    found = look.find(store, "a")
    assert found is not None
    assert found.record is not None
    for name, value in options.items():
        assert str(getattr(found.record.options, name.replace("-", "_"))).removesuffix(".0") == value


def test_a_schedule_is_added_and_cancelled_by_commands(run: Run) -> None:
    assert run("enqueue", "images", "sweep", "--id", "nightly", "--repeat", "0 3 * * *") == (0, "nightly\n", "")
    assert [told["id"] for told in run("schedules", "--json").objects] == ["nightly"]
    assert run("cancel", "nightly") == (0, "job nightly is cancelled\n", "")
    assert run("schedules", "--json").objects == []
