"""What jobs say: to who looks at them, and in the log of their workers."""

from __future__ import annotations

from pathlib import Path

import pytest
from pool.running import APPS, LONG, Bench, Supervisor, wait_until

from tempotask import InvalidOptions, Job, JobFailed, JobHandle
from tempotask.info import Progress


@pytest.fixture
def supervisor(bench: Bench) -> Supervisor:
    return bench.start(app="voices:tempotask", workers=1)


def add(bench: Bench, name: str, data: object = None, queue: str = "q", **options: object) -> JobHandle[object]:
    return bench.manager.enqueue(name=name, queue=queue, data=data, options=options)


def messages(handle: JobHandle[object]) -> list[object]:
    return [entry.message for entry in handle.logs()]


def test_what_a_job_logs_and_how_far_it_is_can_be_seen_while_it_runs(bench: Bench, supervisor: Supervisor) -> None:
    handle = add(bench, "step", ["one", "two"])
    assert bench.hear() == ["said", "one"]
    wait_until(lambda: messages(handle) == ["one"], "the first line is not seen")
    info = handle.info()
    assert (info.status, info.progress) == ("processing", Progress(1, 2, "one"))
    assert info.started_at is not None
    assert info.enqueued_at is not None
    assert info.started_at >= info.enqueued_at
    bench.open_gate()
    assert bench.hear() == ["said", "two"]
    wait_until(lambda: messages(handle) == ["one", "two"], "the second line is not seen")
    assert handle.info().progress == Progress(2, 2, "two")
    bench.open_gate()
    assert handle.result(timeout=LONG) == 2
    info = handle.info()
    assert [entry.message for entry in info.logs] == ["one", "two"]
    assert info.progress == Progress(2, 2, "two")
    assert info.started_at is not None
    assert info.started_at <= info.logs[0].at <= info.logs[1].at


def test_what_a_short_job_says_is_told_with_its_end(bench: Bench, supervisor: Supervisor) -> None:
    def is_told_with_its_end() -> bool:
        handle = add(bench, "quick")
        handle.result(timeout=LONG)
        assert messages(handle) == [{"part": 1}, "same", "same"]
        assert handle.info().progress == Progress(0.5)
        return not bench.store.read("EXISTS", f"log:{handle.id}")

    # A busy machine may make a long one of a short one.
    assert any(is_told_with_its_end() for _ in range(20))
    awaited = add(bench, "astep")
    awaited.result(timeout=LONG)
    assert messages(awaited) == ["awaited"]
    assert awaited.info().progress == Progress(1)
    silent = add(bench, "echo")
    silent.result(timeout=LONG)
    assert (messages(silent), silent.info().progress) == ([], None)


def test_the_lines_of_all_tries_are_kept_in_their_order(bench: Bench, supervisor: Supervisor) -> None:
    handle = add(bench, "stumble", 2)
    assert bench.hear() == ["stumbles"]
    wait_until(lambda: messages(handle) == ["try 1"], "the first line is not seen")
    bench.open_gate()
    assert handle.result(timeout=LONG) == "well"
    assert messages(handle) == ["try 1", "try 2", "try 3"]
    failing = add(bench, "stumble", 3)
    bench.open_gate()
    with pytest.raises(JobFailed):
        failing.result(timeout=LONG)
    assert messages(failing) == ["try 1", "try 2", "try 3"]


def test_what_a_job_said_before_its_process_died_is_not_lost(bench: Bench, supervisor: Supervisor) -> None:
    handle = add(bench, "die", max_crashes=1)
    wait_until(lambda: messages(handle) == ["last words"], "the line is not seen")
    bench.open_gate()
    with pytest.raises(JobFailed):
        handle.result(timeout=LONG)
    assert messages(handle) == ["last words"]


def test_a_log_goes_with_its_job(bench: Bench, supervisor: Supervisor) -> None:
    first = add(bench, "step", ["one"])
    wait_until(lambda: messages(first) == ["one"], "the line is not seen")
    assert bench.store.read("PTTL", f"log:{first.id}") > 0
    bench.open_gate()
    first.result(timeout=LONG)
    assert not bench.store.read("EXISTS", "live")
    # History keeps one completed job here.
    for _ in range(2):
        add(bench, "echo").result(timeout=LONG)
    assert not bench.store.read("EXISTS", f"log:{first.id}")


def test_a_log_goes_with_its_job_also_when_only_a_lost_try_logged(
    bench: Bench, supervisor: Supervisor, tmp_path: Path
) -> None:
    job = add(bench, "die_once", str(tmp_path / "died"))
    wait_until(lambda: messages(job) == ["last words"], "the line is not seen")
    bench.open_gate()
    job.result(timeout=LONG)
    assert messages(job) == ["last words"]
    for _ in range(2):
        add(bench, "echo").result(timeout=LONG)
    assert not bench.store.read("EXISTS", f"log:{job.id}")


def test_a_new_run_of_an_id_begins_with_an_empty_log(bench: Bench, supervisor: Supervisor) -> None:
    for _ in range(2):
        handle = add(bench, "step", ["one"], id="again")
        wait_until(lambda handle=handle: messages(handle) == ["one"], "the line is not seen, or an old one is")
        bench.open_gate()
        handle.result(timeout=LONG)


def test_a_log_keeps_its_newest_thousand_lines(bench: Bench, supervisor: Supervisor) -> None:
    handle = add(bench, "chatter")
    wait_until(lambda: len(messages(handle)) == 901, "the first lines are not seen")
    bench.open_gate()
    handle.result(timeout=LONG)
    assert messages(handle) == list(range(500, 1500))


def test_progress_is_refused_where_it_makes_no_sense(bench: Bench, supervisor: Supervisor) -> None:
    for data, message in (
        ([-1], "progress(done=-1): give a number that is not negative"),
        ([1, "x"], "progress(total='x'): give a number that is not negative"),
        ([1, 2, 3], "progress(note=3): a note is a str"),
    ):
        with pytest.raises(JobFailed) as failed:
            add(bench, "misprogress", data).result(timeout=LONG)
        assert (failed.value.type, failed.value.message) == ("InvalidOptions", message)
    with pytest.raises(InvalidOptions):
        Job("a", "n", "q", None).progress(float("nan"))


def test_what_outlives_its_job_says_nothing_for_another(bench: Bench, supervisor: Supervisor) -> None:
    late = add(bench, "out", "late", queue="files")
    late.result(timeout=LONG)
    other = add(bench, "step", ["mine"])
    assert bench.hear() == ["said", "mine"]
    bench.open_gate(2)
    told = bench.hear()
    if told == ["said", "mine"]:
        told = bench.hear()
    assert told == ["spoken"]
    other.result(timeout=LONG)
    assert messages(other) == ["mine"]
    assert other.info().progress == Progress(1, 1, "mine")
    assert messages(late) == []


def test_what_a_handler_prints_carries_queue_name_and_id(bench: Bench, supervisor: Supervisor) -> None:
    handle = add(bench, "out", "print", queue="files")
    handle.result(timeout=LONG)
    assert supervisor.wait_for("two") == f"[files/out {handle.id}] two"
    assert supervisor.wait_for("lines") == f"[files/out {handle.id}] lines"


def test_a_line_that_is_made_in_parts_is_one_line(bench: Bench, supervisor: Supervisor) -> None:
    first = add(bench, "out", "partly", queue="files")
    second = add(bench, "out", "print", queue="files")
    second.result(timeout=LONG)
    assert supervisor.wait_for("left open") == f"[files/out {first.id}] left open"
    assert supervisor.wait_for("two") == f"[files/out {second.id}] two"


def test_threads_of_a_handler_do_not_mix_their_lines(bench: Bench, supervisor: Supervisor) -> None:
    handle = add(bench, "out", "threads", queue="files")
    handle.result(timeout=LONG)
    supervisor.stop()
    expected = {f"[files/out {handle.id}] thread {number} speaks" for number in range(20)}
    assert set(supervisor.about("thread")) == expected


def test_bytes_and_what_a_child_process_writes_pass_as_they_are(bench: Bench, supervisor: Supervisor) -> None:
    add(bench, "out", "bytes", queue="files").result(timeout=LONG)
    assert supervisor.wait_for("raw") == "raw bytes"
    add(bench, "out", "child", queue="files").result(timeout=LONG)
    assert supervisor.wait_for("of a child") == "of a child"


def test_log_records_carry_queue_name_and_id(bench: Bench, supervisor: Supervisor) -> None:
    unconfigured = add(bench, "out", "warning", queue="files")
    unconfigured.result(timeout=LONG)
    assert supervisor.wait_for("gap") == f"[files/out {unconfigured.id}] WARNING app.part: mind the gap"
    own_format = add(bench, "out", "extra", queue="files")
    own_format.result(timeout=LONG)
    assert supervisor.wait_for("of the job") == f"<files|out|{own_format.id}> of the job"
    assert supervisor.wait_for("its own") == f"<mine|out|{own_format.id}> its own"


def test_a_format_that_does_not_name_the_job_gets_it_in_front(bench: Bench) -> None:
    supervisor = bench.start(app="configured:tempotask", workers=1)
    handle = add(bench, "note", "hello")
    handle.result(timeout=LONG)
    assert supervisor.wait_for("hello") == f"[q/note {handle.id}] at INFO: hello"


def test_loggers_of_their_own_and_formats_in_braces_get_it_in_front_too(bench: Bench) -> None:
    supervisor = bench.start(app="configured:tempotask", workers=1)
    handle = add(bench, "named", "hello")
    handle.result(timeout=LONG)
    assert supervisor.wait_for("hello") == f"[q/named {handle.id}] INFO of shop: hello"
    assert supervisor.wait_for("as it is") == "bare as it is"


def test_an_application_that_sends_errors_where_its_output_goes_works_as_any(bench: Bench) -> None:
    source = (APPS / "configured.py").read_text()
    (bench.folder / "merged.py").write_text(
        source.replace("import logging\n", "import logging, sys\nsys.stderr = sys.stdout\n", 1)
    )
    supervisor = bench.start(app="merged:tempotask", folder=bench.folder, workers=1)
    add(bench, "note", "hello").result(timeout=LONG)
    assert supervisor.stop() == 0


def test_a_log_stays_when_an_earlier_run_of_its_id_goes(bench: Bench, supervisor: Supervisor) -> None:
    def fail(id: str) -> None:
        handle = bench.manager.enqueue(name="stumble", queue="q", data=3, options={"id": id})
        wait_until(lambda: messages(handle) == ["try 1"], "the first line is not seen")
        bench.open_gate()
        with pytest.raises(JobFailed):
            handle.result(timeout=LONG)

    fail("again")
    newest = bench.manager.enqueue(name="step", queue="q", data=["one"], options={"id": "again"})
    wait_until(lambda: messages(newest) == ["one"], "the line is not seen")
    bench.open_gate()
    newest.result(timeout=LONG)
    # History keeps one failed job here.
    for id in ("b", "c"):
        fail(id)
    assert [job.id for job in bench.manager.get_jobs(status="failed")] == ["c"]
    assert messages(newest) == ["one"]
