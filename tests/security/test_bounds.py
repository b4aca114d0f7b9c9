"""What one job may leave behind is bounded: at the bound it is kept whole, beyond it is cut or refused by name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pool.running import LONG, Bench

from tempotask import InvalidPayload, JobFailed, JobHandle, QueueManager
from tempotask.pool.failure import ERRORS, NAME_BYTES, TEXT_BYTES, TRACEBACK_BYTES, describe

APPS = Path(__file__).parent / "apps"
KIB = 1024
BEFORE = 3
"""Bytes in front of the bytes or text that are sent, up to 64 KiB; beyond it five."""


@pytest.fixture
def bench(bench: Bench) -> Iterator[Bench]:
    """With a supervisor of the application `bounds`."""
    bench.start(app="bounds:tempotask", folder=APPS, workers=1)
    yield bench
    assert bench.supervisors[0].stop() == 0


def add(bench: Bench, name: str, number: int) -> JobHandle[Any]:
    return bench.manager.enqueue(name=name, queue="q", data=number)


def done(bench: Bench, name: str, number: int) -> JobHandle[Any]:
    handle = add(bench, name, number)
    handle.result(timeout=LONG)
    return handle


def failure(bench: Bench, name: str, number: int) -> JobFailed:
    with pytest.raises(JobFailed) as failed:
        add(bench, name, number).result(timeout=LONG)
    return failed.value


@pytest.mark.parametrize("most", [1000, 8 * KIB * KIB])
def test_data_may_have_as_many_bytes_as_the_option_says(server_url: str, namespace: str, most: int) -> None:
    options = {} if most > 1000 else {"max_payload_bytes": most}
    whole = b"x" * (most - (BEFORE if most < 65536 else 5))
    with QueueManager.init(server_url, namespace=namespace, options=options) as manager:
        job: dict[str, Any] = {"name": "a", "queue": "q"}
        assert manager.enqueue(**job, data=whole).created
        assert manager.enqueue_many([{**job, "data": whole}])
        refusal = f"{most + 1:,} bytes, and at most {most:,} are taken"
        with pytest.raises(InvalidPayload, match=refusal):
            manager.enqueue(**job, data=whole + b"x")
        with pytest.raises(InvalidPayload, match=refusal):
            manager.enqueue_many([{**job, "data": whole + b"x"}])


def test_a_result_may_have_as_many_bytes_as_the_option_says(bench: Bench) -> None:
    assert len(add(bench, "returns", 1000 - BEFORE).result(timeout=LONG)) == 1000 - BEFORE
    failed = failure(bench, "returns", 1000 - BEFORE + 1)
    assert failed.type == "InvalidPayload"
    assert "result is 1,001 bytes, and at most 1,000 are taken" in failed.message


def test_a_line_of_a_log_has_at_most_64_kib(bench: Bench) -> None:
    (line,) = done(bench, "logs_bytes", 64 * KIB - BEFORE).logs()
    assert len(line.message) == 64 * KIB - BEFORE
    failed = failure(bench, "logs_bytes", 64 * KIB - BEFORE + 1)
    assert failed.type == "InvalidPayload"
    assert "the log line is 65,537 bytes, and at most 65,536 are taken" in failed.message


def test_a_text_that_is_too_long_for_a_line_is_cut_and_no_other(bench: Bench) -> None:
    most = 64 * KIB - 5
    for number in (64 * KIB // 4 + 1, most):
        (line,) = done(bench, "logs_text", number).logs()
        assert line.message == "x" * number
    (line,) = done(bench, "logs_text", most + 1).logs()
    assert line.message == "x" * (most - 4) + " …"


def test_a_log_has_at_most_a_thousand_lines(bench: Bench) -> None:
    assert [line.message for line in done(bench, "logs_lines", 1000).logs()] == list(range(1000))
    assert len(done(bench, "logs_lines", 1001).logs()) == 1000


def test_a_note_on_the_progress_has_at_most_a_thousand_characters(bench: Bench) -> None:
    for number, kept in ((1000, 1000), (1001, 1000)):
        progress = done(bench, "notes", number).info().progress
        assert progress is not None
        assert progress.note == "x" * kept


def test_the_message_of_a_failure_has_at_most_4_kib_and_only_the_last_tries_are_told(bench: Bench) -> None:
    handle = add(bench, "fails", TEXT_BYTES)
    with pytest.raises(JobFailed) as failed:
        handle.result(timeout=LONG)
    assert failed.value.message == "x" * TEXT_BYTES
    errors = handle.info().errors
    assert [error.attempt for error in errors] == list(range(30 - ERRORS, 31))
    message = failure(bench, "fails", TEXT_BYTES + 1).message
    assert len(message.encode()) <= TEXT_BYTES
    assert "x\n… (cut) …\nx" in message


def test_a_traceback_has_at_most_16_kib_and_keeps_its_ends(bench: Bench) -> None:
    rest = len(failure(bench, "fails", 1).traceback.encode()) - 1
    whole = failure(bench, "fails", TRACEBACK_BYTES - rest).traceback
    assert len(whole.encode()) == TRACEBACK_BYTES
    assert "(cut)" not in whole
    cut = failure(bench, "fails", TRACEBACK_BYTES - rest + 1).traceback
    assert TRACEBACK_BYTES - 8 <= len(cut.encode()) <= TRACEBACK_BYTES
    assert cut.startswith("Traceback (most recent call last):")
    assert "x\n… (cut) …\nx" in cut
    assert cut.endswith("x\n")


@pytest.mark.parametrize("letter", ["x", "ü", "€", "😀"])
def test_bounds_of_failures_count_bytes_in_whatever_script(letter: str) -> None:
    size = len(letter.encode())
    assert describe(ValueError(letter * (TEXT_BYTES // size))).message == letter * (TEXT_BYTES // size)
    told = describe(ValueError(letter * (TEXT_BYTES // size + 1))).message
    assert len(told.encode()) <= TEXT_BYTES
    assert set(told) == set(letter + "\n… (cut) …\n")


def test_the_name_of_an_errors_type_is_bounded_too() -> None:
    made = type("E" * NAME_BYTES, (Exception,), {"__module__": "builtins"})
    assert describe(made()).type == "E" * NAME_BYTES
    longer = type("E" * (NAME_BYTES + 1), (Exception,), {"__module__": "builtins"})
    assert len(describe(longer()).type.encode()) <= NAME_BYTES
