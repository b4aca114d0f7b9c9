"""The embedded server's folder and socket are their owner's alone: what others have put in the way is refused."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tempotask.errors import ServerUnavailable
from tempotask.store.embedded import EmbeddedServer

OTHER, STRANGER = 12321, 12322
"""Users that need no name."""
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make what belongs to others")


@pytest.fixture
def shared(short_path: Path) -> Iterator[Path]:
    """A folder like /tmp: everybody may put something into it, and enter it."""
    above = [short_path, *short_path.parents[:-2]]
    before = {folder: folder.stat().st_mode for folder in above if folder.stat().st_uid == os.geteuid()}
    for folder in before:
        folder.chmod(stat.S_IMODE(before[folder]) | 0o711)
    folder = short_path / "shared"
    folder.mkdir()
    folder.chmod(0o1777)
    yield folder
    for each, mode in before.items():
        each.chmod(stat.S_IMODE(mode))


def told_to(user: int, home: Path) -> str:
    """What another user is told who opens the server in that folder."""
    read_end, write_end = os.pipe()
    # By fork alone: that user may not be allowed to start this interpreter.
    if (child := os.fork()) == 0:
        try:
            os.setgroups([])
            os.setgid(user)
            os.setuid(user)
            EmbeddedServer.open(home)
            os.write(write_end, b"opened")
        except BaseException as error:
            os.write(write_end, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end) as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    return told


def refusal(home: Path) -> str:
    with pytest.raises(ServerUnavailable) as told:
        EmbeddedServer.open(home)
    assert "\n" not in str(told.value)
    return str(told.value)


def long_home(short_path: Path) -> Path:
    """A folder whose socket has to be elsewhere."""
    return short_path / ("long" * 30) / "home"


def test_folder_socket_and_files_are_the_owners_alone_whatever_the_umask(short_path: Path) -> None:
    home = short_path / "home"
    before = os.umask(0)
    try:
        server = EmbeddedServer.open(home)
    finally:
        os.umask(before)
    try:
        assert stat.S_IMODE(home.stat().st_mode) == 0o700
        assert stat.S_IMODE((home / "server.sock").stat().st_mode) == 0o700
        for path in home.rglob("*"):
            assert path.name == ".gitignore" or not path.stat().st_mode & 0o077, path
    finally:
        server.close()


@as_root
def test_a_folder_of_somebody_else_is_refused_by_name(shared: Path) -> None:
    home = shared / "home"
    home.mkdir()
    os.chown(home, OTHER, OTHER)
    told = refusal(home)
    assert f"does not trust {home}: it belongs to user {OTHER}" in told
    assert "chown" in told
    assert list(home.iterdir()) == []


@as_root
def test_another_user_is_refused_at_our_folder(shared: Path) -> None:
    home = shared / "home"
    EmbeddedServer.open(home).close()
    told = told_to(OTHER, home)
    assert told.startswith(f"ServerUnavailable: the embedded server does not trust {home}: it belongs to user root")
    assert "\n" not in told


@as_root
def test_a_link_of_somebody_else_in_the_folders_place_is_refused(shared: Path) -> None:
    ours = shared / "ours"
    ours.mkdir(mode=0o755)
    link = shared / "home"
    link.symlink_to(ours)
    os.chown(link, OTHER, OTHER, follow_symlinks=False)
    assert f"does not trust {link}: it belongs to user {OTHER}" in refusal(link)
    assert list(ours.iterdir()) == []


def test_a_link_of_ones_own_is_followed(short_path: Path) -> None:
    (short_path / "home").symlink_to(short_path / "there")
    EmbeddedServer.open(short_path / "home").close()
    assert (short_path / "there" / "appendonlydir").is_dir()


@as_root
def test_what_somebody_else_has_put_into_an_open_folder_is_refused(shared: Path) -> None:
    home = shared / "home"
    home.mkdir()
    home.chmod(0o777)
    target = shared / "precious"
    target.write_text("precious")
    (home / "server.log").symlink_to(target)
    os.chown(home / "server.log", STRANGER, STRANGER, follow_symlinks=False)
    assert f"does not trust {home / 'server.log'}: it belongs to user {STRANGER}" in refusal(home)
    assert f"{STRANGER}" in refusal(home), "it is so the second time as well"
    assert target.read_text() == "precious"


@as_root
@pytest.mark.parametrize("what", ["a folder of somebody else", "an open folder", "a link", "a dangling link", "a file"])
def test_what_stands_in_the_place_of_the_short_folder_is_refused(
    shared: Path, short_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long path's socket is in /tmp/tempotask-<user>, where everybody could have made something by that name."""
    folder = Path(f"/tmp/tempotask-{STRANGER}")
    monkeypatch.setattr(os, "geteuid", lambda: STRANGER)
    home = long_home(short_path)
    home.mkdir(parents=True, mode=0o700)
    os.chown(home, STRANGER, STRANGER)
    try:
        match what:
            case "a folder of somebody else":
                folder.mkdir(mode=0o700)
                os.chown(folder, OTHER, OTHER)
            case "an open folder":
                folder.mkdir()
                os.chown(folder, STRANGER, STRANGER)
                folder.chmod(0o777)
            case "a link":
                folder.symlink_to(shared)
            case "a dangling link":
                folder.symlink_to(shared / "nowhere")
            case "a file":
                folder.touch(0o700)
                os.chown(folder, STRANGER, STRANGER)
        assert f"{folder} is not a folder that is this user's alone" in refusal(home)
    finally:
        folder.rmdir() if folder.is_dir() and not folder.is_symlink() else folder.unlink()


@as_root
def test_a_socket_that_somebody_else_listens_at_is_never_talked_to(shared: Path) -> None:
    """He would be given our jobs, and could hand us his."""
    home = shared / "home"
    home.mkdir()
    home.chmod(0o777)
    with socket.socket(socket.AF_UNIX) as planted:
        planted.bind(str(home / "server.sock"))
        planted.listen()
        os.chown(home / "server.sock", OTHER, OTHER)
        assert f"does not trust {home / 'server.sock'}" in refusal(home)
        planted.settimeout(0)
        with pytest.raises(BlockingIOError):
            planted.accept()
