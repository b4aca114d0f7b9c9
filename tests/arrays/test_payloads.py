"""What an array becomes on its way, and what is refused on either side."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import msgspec
import numpy as np
import pytest
from arrays.room import Room

from tempotask import Context, InvalidPayload, Job, JobFailed, QueueManager, ResultExpired, arrays, machine, payload
from tempotask.arrays import CODE, LARGE, Sender
from tempotask.shelf import Shelf, ShelfFile

KINDS = [
    "?",
    "i1",
    ">i4",
    "u8",
    "f2",
    "f8",
    "g",
    "c16",
    "S3",
    "U5",
    "M8[ns]",
    "m8[D]",
    [("a", "<i4"), ("b", "U3", (2,))],
]


def back(encoded: bytes) -> Any:
    return msgspec.msgpack.decode(encoded, ext_hook=arrays.unpack)


def packed(*fields: Any) -> bytes:
    """An extension of ours with these fields, as somebody else might make it."""
    return msgspec.msgpack.encode(msgspec.msgpack.Ext(CODE, msgspec.msgpack.encode(list(fields))))


def sender(kind: Any = "data") -> Sender:
    made = Shelf("redis://somewhere:1/0", "test", 0)
    return Sender(lambda: made, kind)


@pytest.mark.parametrize("dtype", KINDS, ids=str)
@pytest.mark.parametrize("length", [3, 100_000], ids=["small", "large"])
def test_arrays_come_back_as_they_were(dtype: Any, length: int, shm: Room) -> None:
    given = np.zeros((length, 2), dtype)
    given.view(np.uint8).reshape(-1)[:: 7 if given.dtype.kind not in "SU?" else 10**9] = 1
    came = back(payload.encode({"x": [given]}, LARGE * 4, "data", sender(), "job"))["x"][0]
    assert came.dtype == given.dtype
    assert came.shape == given.shape
    assert came.tobytes() == given.tobytes()
    assert came.flags.writeable
    assert came.flags.aligned


@pytest.mark.parametrize("length", [10, 1000], ids=["small", "large"])
def test_layouts_come_back_as_they_can(length: int, shm: Room) -> None:
    whole = np.arange(length * length, dtype=float).reshape(length, length)
    for given in (whole.T, whole[::2, ::3], whole[::-1], np.asfortranarray(whole), whole[3:]):
        came = back(payload.encode(given, LARGE * 8, "data", sender(), "job"))
        assert np.array_equal(came, given)
        assert came.flags.f_contiguous == given.flags.f_contiguous


def test_empty_and_single_arrays_are_sent() -> None:
    for given in (np.zeros(0), np.zeros((3, 0, 2)), np.array(2.5)):
        came = back(payload.encode(given, 1000))
        assert came.shape == given.shape
        assert np.array_equal(came, given)


def test_a_single_number_or_text_of_numpy_becomes_a_plain_one() -> None:
    given = [np.float64(1.5), np.float32(0.5), np.int8(-3), np.uint64(2**64 - 1), np.bool_(True), np.str_("x")]
    came = back(payload.encode(given, 1000))
    assert came == [1.5, 0.5, -3, 2**64 - 1, True, "x"]
    assert {type(one) for one in came} == {float, int, bool, str}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.array([object()]), r"data\['k'\]\[1\]: an array of dtype object is not only its bytes"),
        (np.array(["a"], np.dtypes.StringDType()), r"data\['k'\]\[1\]: an array of dtype StringDType.* can't be sent"),
        (np.ma.zeros(3), r"data\['k'\]\[1\] is of type numpy.ma.MaskedArray, which can't be sent"),
        (np.complex128(1), r"data\['k'\]\[1\] is of type numpy.complex128, which can't be sent"),
    ],
    ids=["objects", "text of any length", "masked", "complex number"],
)
def test_what_is_more_than_its_bytes_is_refused_with_its_path(value: Any, words: str) -> None:
    with pytest.raises(InvalidPayload, match=words):
        payload.encode({"k": [1, value]}, 1000)


def test_what_is_wrong_beside_a_large_array_is_told_with_its_path(shm: Room) -> None:
    with pytest.raises(InvalidPayload, match=r"data\['wrong'\] is of type object"):
        payload.encode({"right": np.zeros(LARGE), "wrong": object()}, 1000, "data", sender(), "job")
    assert shm.is_clean()


def test_what_is_wrong_behind_a_large_array_is_told_with_its_path(shm: Room) -> None:
    with pytest.raises(InvalidPayload, match=r"data\[0\]\['wrong'\] is of type object"):
        payload.encode([{"right": np.zeros(LARGE), "wrong": object()}], 1000, "data", sender(), "job")
    assert shm.is_clean()


def test_many_jobs_are_refused_with_the_path_of_an_array_too() -> None:
    with (
        QueueManager.init(inline=True) as manager,
        pytest.raises(InvalidPayload, match=r"^job 0: data\['a'\]: an array"),
    ):
        manager.enqueue_many([{"name": "t", "queue": "q", "data": {"a": np.array([object()])}}])


def test_a_log_line_takes_no_large_array() -> None:
    with pytest.raises(InvalidPayload, match=r"^the log line is an array of 2,097,152 bytes"):
        payload.encode(np.zeros(LARGE), 1000, "the log line")


def test_a_large_array_where_none_can_be_is_told_with_its_path() -> None:
    with pytest.raises(InvalidPayload, match=r"^data\['parts'\]\[1\] is an array of 2,097,152 bytes"):
        payload.encode({"parts": [1, np.zeros(LARGE)]}, 1000)


@pytest.mark.parametrize(
    "fields",
    [
        ("|O", [1], "C", bytes(8)),
        ("[('a','O')]", [1], "C", bytes(8)),
        ("<f8", [2], "C", bytes(8)),
        ("<f8", [-1], "C", bytes(8)),
        ("<f8", [2**62, 2**62], "C", bytes(8)),
        ("<f8", [1] * 100, "C", bytes(8)),
        ("(" * 5000, [1], "C", bytes(8)),
        ("[" * 5000, [1], "C", bytes(8)),
        ("[__import__('os')]", [1], "C", bytes(8)),
        ("nonsense", [1], "C", bytes(8)),
        ("<f8", [1], "X", bytes(8)),
        ("<f8", "1", "C", bytes(8)),
        (),
    ],
    ids=str,
)
def test_hostile_arrays_are_refused_in_one_line(fields: tuple[Any, ...]) -> None:
    with pytest.raises(InvalidPayload, match=r"^there is an array in it that can't be read: .+$"):
        back(packed(*fields))


def test_a_reference_opens_nothing_but_files_of_ours(shm: Room) -> None:
    secret = shm.base / "secret"
    secret.write_bytes(bytes(LARGE))
    own = payload.encode(np.zeros(LARGE // 8), LARGE, "data", sender(), "job")
    (file,) = shm.files("data")
    there = ShelfFile("shm", file.parent.name, file.name, machine.mark(), "here")
    assert back(own).nbytes == LARGE
    link = file.with_name(file.name.replace("-job", "-link"))
    link.symlink_to(secret)
    for folder, name in [
        (there.folder, "secret"),
        (there.folder, "../../secret"),
        ("..", "secret"),
        (f"../{there.folder}", there.name),
        ("", there.name),
        (there.folder, there.name + "/"),
        (there.folder, link.name),
        ("/", "secret"),
    ]:
        with pytest.raises(InvalidPayload):
            back(packed("<f8", [LARGE // 8], "C", ["shm", folder, name, there.machine, "here"]))
    with pytest.raises(InvalidPayload, match="not the one of 8,388,608 bytes that it should be"):
        back(packed("<f8", [2**20], "C", msgspec.structs.astuple(there)))
    with pytest.raises(InvalidPayload):
        back(packed("<f8", [LARGE // 8], "C", ["/etc", *msgspec.structs.astuple(there)[1:]]))


def test_a_folder_that_others_can_look_into_is_not_used(shm: Room, tmp: Room) -> None:
    (shm.base / f"tempotask-{os.geteuid()}").mkdir(mode=0o755)
    encoded = payload.encode(np.zeros(LARGE), LARGE, "data", sender(), "job")
    assert not shm.files()
    assert len(tmp.files("data")) == 1
    assert np.array_equal(back(encoded), np.zeros(LARGE))


def test_extensions_of_others_pass_as_they_did() -> None:
    other = msgspec.msgpack.Ext(5, b"abc")
    assert back(msgspec.msgpack.encode([other])) == [other]


def test_a_result_is_taken_once(shm: Room) -> None:
    encoded = payload.encode(np.ones(LARGE), LARGE, "result", sender("result"), "job-1")
    decoder = msgspec.msgpack.Decoder(np.ndarray, ext_hook=arrays.take)
    first = decoder.decode(encoded)
    assert shm.is_clean()
    assert decoder.decode(encoded) is first
    assert first.sum() == LARGE
    del first
    with pytest.raises(ResultExpired):
        decoder.decode(encoded)


def test_types_are_arrays_and_nothing_else() -> None:
    manager = QueueManager.init(inline=True)

    class Two(msgspec.Struct):
        one: np.ndarray
        other: np.ndarray | None = None

    @manager.task(queue="q")
    def shapes(job: Job[Two], ctx: Context[Any]) -> list[int]:
        return list(job.data.one.shape)

    assert shapes.enqueue(Two(np.zeros((2, 3)))).result() == [2, 3]
    wrong = manager.enqueue(name="shapes", queue="q", data={"one": [1, 2]})
    with pytest.raises(JobFailed, match=r"Expected `numpy.ndarray`, got `array` - at `\$.one`|got `list`"):
        wrong.result()
    manager.close()


def test_an_inline_manager_leaves_nothing_behind(shm: Room) -> None:
    manager = QueueManager.init(inline=True)

    @manager.task(queue="q")
    def same(job: Job[np.ndarray], ctx: Context[Any]) -> np.ndarray:
        return job.data

    assert np.array_equal(same.enqueue(np.ones(LARGE)).result(), np.ones(LARGE))
    assert shm.is_clean()
    manager.close()


def run(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert not done.returncode, done.stderr
    return done.stdout.strip()


def test_numpy_is_not_imported_before_there_is_an_array() -> None:
    program = (
        "import sys, tempotask; from tempotask import payload, Job\n"
        "m = tempotask.QueueManager.init(inline=True)\n"
        "@m.task(queue='q')\n"
        "def echo(job: Job[dict[str, int]], ctx) -> dict[str, int]: return job.data\n"
        "assert echo.enqueue({'a': 1}).result() == {'a': 1}\n"
        "print('numpy' in sys.modules)"
    )
    assert run(program) == "False"


def test_without_numpy_the_error_says_to_install_it() -> None:
    encoded = payload.encode(np.zeros(3), 1000)
    program = (
        "import sys; sys.modules['numpy'] = None\n"
        "import msgspec; from tempotask import arrays, payload, InvalidPayload\n"
        "try: payload.encode([object()], 10)\n"
        "except InvalidPayload as error: print(error)\n"
        f"try: msgspec.msgpack.decode({encoded!r}, ext_hook=arrays.unpack)\n"
        "except InvalidPayload as error: print(error)"
    )
    refused, missing = run(program).splitlines()
    assert refused.startswith("data[0] is of type object")
    assert missing == "there is an array in it, and numpy is not installed here; install numpy"
