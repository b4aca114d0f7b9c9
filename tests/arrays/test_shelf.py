"""The files of large arrays: how many there are, who may read them, when they go."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import textwrap
import time
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from arrays.room import Room
from pool.running import LONG, Bench, wait_until

from tempotask import InvalidOptions, InvalidPayload, arrays, payload, shelf
from tempotask.arrays import LARGE, Sender
from tempotask.pool import leftovers
from tempotask.shelf import Shelf
from tempotask.store.store import Store


@pytest.fixture
def made(shm: Room) -> Shelf:
    return Shelf("redis://somewhere:1/0", "test", 0)


def send(made: Shelf, value: Any, job: str = "job", kind: Any = "data") -> bytes:
    return payload.encode(value, LARGE, kind, Sender(lambda: made, kind), job)


def test_the_same_array_makes_one_file_and_goes_with_its_last_link(made: Shelf, shm: Room) -> None:
    whole = np.ones(LARGE)
    sent = [send(made, whole, f"job-{n}") for n in range(3)]
    send(made, whole.reshape(2, -1).T, "another view")
    send(made, whole.view("i8"), "another dtype")
    assert len(shm.files()) == 6
    assert len({path.stat().st_ino for path in shm.files()}) == 1
    assert {stat.S_IMODE(path.stat().st_mode) for path in shm.files()} == {0o600}
    del whole
    assert not shm.files("kept")
    came = [arrays_of(one) for one in sent]
    for path in shm.files():
        shelf.remove_link(path)
    assert shm.is_clean()
    came[0][:] = 7
    assert came[1].sum() == came[2].sum() == LARGE


def arrays_of(encoded: bytes) -> np.ndarray:
    import msgspec

    found: np.ndarray = msgspec.msgpack.decode(encoded, ext_hook=arrays.unpack)
    return found


def test_an_array_that_has_changed_makes_another_file(made: Shelf, shm: Room) -> None:
    whole = np.zeros(LARGE)
    first = send(made, whole)
    whole[-1] = 1
    second = send(made, whole)
    assert len({path.stat().st_ino for path in shm.files()}) == 2
    assert [arrays_of(first)[-1], arrays_of(second)[-1]] == [0, 1]


def test_an_array_that_changes_again_and_again_keeps_one_file(made: Shelf, shm: Room) -> None:
    whole = np.zeros(LARGE)
    for n in range(5):
        whole[0] = n
        send(made, whole)
    assert len(shm.files("kept")) == 1
    assert weakref.getweakrefcount(whole) == 1


def test_in_one_call_an_array_is_compared_once(made: Shelf, shm: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[object] = []
    same = shelf._is_same
    monkeypatch.setattr(shelf, "_is_same", lambda place, data: (looks.append(place), same(place, data))[1])
    whole, sender = np.zeros(LARGE), Sender(lambda: made)
    for n in range(5):
        payload.encode(whole, LARGE, "data", sender, f"job-{n}")
    assert not looks
    send(made, whole)
    assert len(looks) == 1


def test_a_workers_sender_remembers_none_of_the_results_that_it_has_sent(made: Shelf, shm: Room) -> None:
    sender = Sender(lambda: made, "result")
    for n in range(3):
        payload.encode(np.zeros(LARGE), LARGE, "result", sender, f"job-{n}")
    assert len(shm.files()) == 3
    assert not [held for held in vars(sender).values() if isinstance(held, list | set | dict) and held]


def test_a_kept_file_that_somebody_removed_is_written_again(made: Shelf, shm: Room) -> None:
    whole = np.ones(LARGE)
    send(made, whole)
    for path in shm.files():
        shelf.remove_link(path)
    assert arrays_of(send(made, whole)).sum() == LARGE


def test_where_shared_memory_is_full_the_file_is_a_temporary_one(made: Shelf, shm: Room, tmp: Room, full: None) -> None:
    assert arrays_of(send(made, np.ones(LARGE))).sum() == LARGE
    assert shm.is_clean()
    assert len(tmp.files("data")) == 1


def test_a_disk_that_is_full_half_way_is_told_in_one_line(
    made: Shelf, shm: Room, tmp: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(fd: int, data: memoryview) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(InvalidPayload, match=r"^data: an array of 2,097,152 bytes can't be put into .*No space left"):
        send(made, np.ones(LARGE))
    monkeypatch.undo()
    assert not shm.files()
    assert not tmp.files()


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch, shm: Room) -> None:
    look = os.fstatvfs

    def fstatvfs(fd: int) -> Any:
        found = look(fd)
        inside = os.readlink(f"/proc/self/fd/{fd}").startswith(str(shm.base))
        return os.statvfs_result([*found[:4], 0, *found[5:]]) if inside else found

    monkeypatch.setattr(os, "fstatvfs", fstatvfs)


def test_a_long_id_is_refused_in_one_line(made: Shelf, shm: Room) -> None:
    with pytest.raises(InvalidPayload, match="the name of a file, and 'ééééé"):
        send(made, np.ones(LARGE), "é" * 60)
    assert arrays_of(send(made, np.ones(LARGE), "ü/@ %" * 5)).sum() == LARGE


def test_a_shared_folder_that_is_none_is_refused(made: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong in ("relative", "/nowhere/at/all"):
        monkeypatch.setenv("TEMPOTASK_ARRAYS", wrong)
        with pytest.raises(InvalidOptions, match=f"TEMPOTASK_ARRAYS is {wrong!r}, which is no folder"):
            send(made, np.ones(LARGE))


def test_a_forked_child_leaves_its_parents_files_alone(made: Shelf, shm: Room) -> None:
    whole = np.ones(LARGE)
    send(made, whole)
    child = os.fork()
    if not child:
        try:
            del whole
            made.close()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert len(shm.files("kept")) == 1
    made.close()
    assert not shm.files("kept")


# -- leftovers


def left_by(bench: Bench, ending: str, kind: str = "data", job: str = "never-added") -> list[Path]:
    """What a process leaves that put an array on the shelf, and has ended so."""
    program = f"""
        import os, signal, sys, numpy, tempotask
        from tempotask import arrays
        manager = tempotask.QueueManager.init(db={bench.url!r}, namespace={bench.namespace!r})
        whole = numpy.ones({LARGE})
        arrays.Sender(lambda: manager._client.shelf, {kind!r}).encode(whole, {job!r})
        {ending}
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=False)
    return here(bench)


def here(bench: Bench) -> list[Path]:
    return list((shelf.SHM / f"tempotask-{os.geteuid()}").glob(f"{bench.namespace}-*/*"))


KILLED = "os.kill(os.getpid(), signal.SIGKILL)"


def test_a_process_that_ends_well_takes_what_it_kept_with_it(bench: Bench) -> None:
    assert [path.name.partition("-")[0] for path in left_by(bench, "sys.exit(0)")] == ["data"]
    clear(bench.store)


def test_all_links_of_an_array_that_many_jobs_were_given_go_at_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = """
        for number in range(20):
            arrays.Sender(lambda: manager._client.shelf, "data").encode(whole, f"never-added-{number}")
        os.kill(os.getpid(), signal.SIGKILL)"""
    assert len([path for path in left_by(bench, more.strip()) if path.name.startswith("data-")]) == 21
    monkeypatch.setattr(leftovers, "ON_ITS_WAY", 1.5)
    time.sleep(2.6)
    leftovers.clear(bench.store)
    assert not here(bench)


def clear(store: Store) -> int:
    """`leftovers.clear`, without waiting for what is on its way."""
    before, leftovers.ON_ITS_WAY = leftovers.ON_ITS_WAY, 0.0
    try:
        return leftovers.clear(store)
    finally:
        leftovers.ON_ITS_WAY = before


def test_a_supervisor_removes_what_a_killed_process_kept(bench: Bench, tmp_path: Path) -> None:
    # Looked at while it lives: from its death on any supervisor of this machine, another test's too, removes it.
    pattern, seen = str(shelf.SHM / f"tempotask-{os.geteuid()}" / f"{bench.namespace}-*" / "*"), tmp_path / "seen"
    look = f"import glob, pathlib; pathlib.Path({str(seen)!r}).write_text(chr(10).join(glob.glob({pattern!r})))"
    left_by(bench, f"{look}; {KILLED}")
    assert sorted(Path(name).name.partition("-")[0] for name in seen.read_text().splitlines()) == ["data", "kept"]
    bench.start()
    wait_until(lambda: len(here(bench)) == 1, "what was kept is still there")
    assert here(bench)[0].name.startswith("data")
    clear(bench.store)
    assert not here(bench)


def test_data_of_a_job_that_waits_is_no_leftover(bench: Bench) -> None:
    handle = bench.manager.enqueue(name="echo", queue="q", data=1, options={"id": "waits-its-turn"})
    left_by(bench, KILLED, job=handle.id)
    clear(bench.store)
    (there,) = here(bench)
    assert there.name.endswith("waits-its-turn")
    assert handle.cancel()
    assert clear(bench.store) == 1
    assert not here(bench)


def test_a_result_that_the_server_does_not_hold_is_a_leftover(bench: Bench) -> None:
    left_by(bench, KILLED, kind="result")
    assert len(here(bench)) == 1
    assert clear(bench.store) == 1
    assert not here(bench)


def test_a_result_of_a_job_that_has_not_ended_is_no_leftover(bench: Bench) -> None:
    handle = bench.manager.enqueue(name="echo", queue="q", data=1, options={"id": "to-be-settled"})
    left_by(bench, KILLED, kind="result", job=handle.id)
    clear(bench.store)
    assert [path.name.partition("-")[0] for path in here(bench)] == ["result"]
    assert handle.cancel()
    assert clear(bench.store) == 1
    assert not here(bench)


def test_what_is_on_its_way_is_no_leftover(bench: Bench) -> None:
    left_by(bench, KILLED)
    # What was kept goes, unless another supervisor of this machine was faster.
    leftovers.clear(bench.store)
    assert [path.name.partition("-")[0] for path in here(bench)] == ["data"]
    clear(bench.store)


def test_the_files_of_another_server_are_left_alone(bench: Bench, store: Store) -> None:
    left_by(bench, KILLED)
    other = here(bench)[0].parent.with_name(f"{bench.namespace}-{'0' * 12}")
    here(bench)[0].parent.rename(other)
    clear(store)
    assert [path.name.partition("-")[0] for path in here(bench)] == ["data"]
    for path in here(bench):
        shelf.remove_link(path)
    assert not here(bench)


def test_results_that_nobody_reads_go_with_their_outcome(bench: Bench) -> None:
    folder = Path(__file__).parent
    bench.begin(app="app:tempotask", folder=folder).wait_for("ready: ")
    handle = bench.manager.enqueue(name="doubled", queue="arrays", data=np.ones(LARGE))
    wait_until(lambda: handle.status() == "completed", "it does not end", LONG)
    bench.manager.close()
    wait_until(lambda: [path.name.partition("-")[0] for path in here(bench)] == ["result"], "the data are left")
    assert leftovers.clear(bench.store) == 0
    before, leftovers.PATIENCE = leftovers.PATIENCE, 0.0
    try:
        assert leftovers.clear(bench.store) == 0
        assert bench.manager.delete_job_by_id(handle.id)
        assert leftovers.clear(bench.store) == 1
    finally:
        leftovers.PATIENCE = before
    assert not here(bench)
