"""Pickled calls: only where two chose it, and only what the key has signed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from futures import errands
from futures.conftest import TESTS
from pool.running import LONG, Bench

from tempotask import InvalidOptions, InvalidPayload, JobFailed, JobHandle, arrays
from tempotask.arrays import Sender
from tempotask.futures import permission, pickled
from tempotask.futures.answers import APPLICATION, PICKLED, PLAIN, QUEUE, Call, purpose_of_answer, purpose_of_call
from tempotask.shelf import Shelf

KEY = "a key of sixteen characters, and some"
ENVIRONMENT = {permission.KEY: KEY, "PYTHONPATH": str(TESTS)}


@pytest.fixture
def touched(tmp_path: Path) -> Path:
    return tmp_path / "touched"


@pytest.fixture
def signer() -> pickled.Signer:
    return pickled.Signer(KEY)


def send(bench: Bench, body: object, task: str = PICKLED) -> JobHandle[object]:
    return bench.manager.enqueue(name=task, queue=QUEUE, data=body)


@pytest.fixture
def open_bench(bench: Bench) -> Iterator[Bench]:
    """With a supervisor that loads pickles."""
    supervisor = bench.begin("--allow-pickle", app=APPLICATION, workers=1, environment=ENVIRONMENT, folder=bench.folder)
    supervisor.wait_for("ready: ")
    yield bench
    supervisor.stop()


def no_shelf() -> Shelf:
    raise AssertionError("there is no large array in it")


def pickled_call(call: object) -> bytes:
    return arrays.dumps(call, Sender(no_shelf), "")


def trap(path: Path) -> tuple[object, ...]:
    return errands.same, (errands.Trap(str(path)),), {}


def test_a_supervisor_refuses_pickles_unless_it_was_told_to_take_them(
    bench: Bench, signer: pickled.Signer, touched: Path
) -> None:
    supervisor = bench.begin(app=APPLICATION, workers=1, environment=ENVIRONMENT, folder=bench.folder)
    supervisor.wait_for("ready: ")
    handle = send(bench, signer.sign(pickled_call(trap(touched)), purpose_of_call(bench.namespace)))
    with pytest.raises(JobFailed, match="--allow-pickle") as told:
        handle.result(LONG)
    assert told.value.type == "InvalidPayload"
    assert not touched.exists()
    supervisor.stop()


def test_a_pickle_without_a_good_signature_is_never_loaded(
    open_bench: Bench, signer: pickled.Signer, touched: Path
) -> None:
    purpose = purpose_of_call(open_bench.namespace)
    body = pickled_call(trap(touched))
    bad = {
        "of another key": pickled.Signer(KEY + "!").sign(body, purpose),
        "for another namespace": signer.sign(body, purpose_of_call("other")),
        "for an answer": signer.sign(body, purpose_of_answer("x")),
        "none": body,
        "changed": signer.sign(body, purpose)[:-1] + b"x",
        "empty": b"",
    }
    handles = {what: send(open_bench, signed) for what, signed in bad.items()}
    for what, handle in handles.items():
        with pytest.raises(JobFailed, match="bad signature"):
            assert handle.result(LONG) is None, what
    assert not touched.exists()


def test_a_pickle_that_the_key_has_signed_is_loaded_and_its_result_is_signed(
    open_bench: Bench, signer: pickled.Signer, touched: Path
) -> None:
    call = pickled_call((errands.touch, (str(touched),), {}))
    handle = send(open_bench, signer.sign(call, purpose_of_call(open_bench.namespace)))
    signed, *_ = handle.result(LONG)  # type: ignore[misc]
    assert touched.read_text() == "."
    assert arrays.loads(signer.body(signed, purpose_of_answer(handle.id)), arrays.take) is None
    with pytest.raises(InvalidPayload, match="bad signature"):
        signer.body(signed, purpose_of_answer("another"))


def test_a_plain_call_whose_name_was_not_signed_is_not_made(
    open_bench: Bench, signer: pickled.Signer, touched: Path
) -> None:
    name, purpose = "futures.errands:touch", purpose_of_call(open_bench.namespace)
    good = signer.signature(name.encode(), purpose)
    for signature in (
        b"",
        signer.signature(b"futures.errands:same", purpose),
        pickled.Signer("x" * 16).signature(b"", ""),
    ):
        with pytest.raises(JobFailed, match="bad signature"):
            send(open_bench, Call(name, signature, [str(touched)]), PLAIN).result(LONG)
    assert not touched.exists()
    send(open_bench, Call(name, good, [str(touched)]), PLAIN).result(LONG)
    assert touched.exists()


def test_a_supervisor_needs_a_key_to_take_pickles(bench: Bench) -> None:
    for key, why in (("", "needs the key"), ("short", "at least 16")):
        supervisor = bench.begin(
            "--allow-pickle", app=APPLICATION, workers=1, environment={permission.KEY: key}, folder=bench.folder
        )
        assert supervisor.end() == 2
        assert any(why in line for line in supervisor.lines)


def test_a_key_that_is_too_short_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, permission.KEY, "short")
    with pytest.raises(InvalidOptions, match="at least 16"):
        permission.given_key()
