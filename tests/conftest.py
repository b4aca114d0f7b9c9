"""What all tests share: one real server, a namespace for each test, and a look for what a test left behind."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import sys
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import redis
from pool.running import LONG, Bench
from rights import as_options, limited
from servers import VALKEY, OwnServer

from tempotask.store.connect import Server
from tempotask.store.store import Store

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # Where a shell started us in the background, programs that tests interrupt would not hear of it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


SLOW = (
    *("demo/", "docs/test_pages.py", "examples/", "joblib_backend/", "plugin/", "cli/test_map", "cli/test_run_here"),
    *("cli/test_following.py", "top/test_screen.py", "top/test_terminal.py", "door/test_exit.py", "door/test_fork.py"),
    *("mapping/test_amap.py", "mapping/test_programs.py", "mapping/test_task_map.py", "arrays/test_at_work.py"),
    *("faults/", "futures/test_ends.py", "futures/test_large_arrays.py", "pool/test_firing.py"),
    *("pool/test_library_threads.py", "pool/test_nursery.py", "pool/test_recycling.py"),
    *("pool/test_run_here_beside.py", "pool/test_stacks.py", "pool/test_standing.py", "pool/test_voice.py"),
    *("security/test_secrets.py", "store/test_durability.py", "store/test_embedded.py"),
)
"""What starts many programs, or waits for hosts, servers, disks that break: a part of scripts/test --all."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks those tests as slow."""
    for item in items:
        if item.path.relative_to(Path(__file__).parent).as_posix().startswith(SLOW):
            item.add_marker(pytest.mark.slow)


PR_SET_CHILD_SUBREAPER = 36

if sys.platform == "linux":
    # What loses its parent during a test becomes our child, so that the look for leftovers sees it.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


@pytest.fixture(scope="session")
def admin_url() -> Iterator[str]:
    """The server for all tests: what $TEMPOTASK_TEST_SERVER starts, else a Valkey. It keeps nothing.

    For the user who may do everything: flush, kill connections, change settings.
    """
    folder = Path(tempfile.mkdtemp(prefix="tempotask-test-"))
    server = OwnServer(folder, *as_options(), program=os.environ.get("TEMPOTASK_TEST_SERVER") or VALKEY)
    yield server.url
    server.kill()
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def server_url(admin_url: str) -> str:
    """The same server, for a user who may do just what docs/security.md says is needed."""
    return limited(admin_url)


@pytest.fixture
def start_server(short_path: Path) -> Iterator[Callable[..., OwnServer]]:
    """Starts servers of the test's own: give the options of a command line."""
    started: list[OwnServer] = []

    def start(*options: str, program: str = VALKEY) -> OwnServer:
        started.append(OwnServer(Path(tempfile.mkdtemp(dir=short_path)), *options, program=program))
        return started[-1]

    yield start
    for server in started:
        server.kill()


@pytest.fixture
def namespace(server_url: str) -> Iterator[str]:
    """A name of the test's own, whose keys are gone after it."""
    name = f"t-{uuid.uuid4().hex[:12]}"
    yield name
    with redis.Redis.from_url(server_url) as client:
        keys = list(client.scan_iter(f"{{{name}}}:*", count=10_000))
        for i in range(0, len(keys), 1000):
            client.unlink(*keys[i : i + 1000])


@pytest.fixture
def store(server_url: str, namespace: str) -> Iterator[Store]:
    """A store in the test's namespace."""
    store = Store(Server(server_url), namespace)
    yield store
    store.close()


@pytest.fixture
def admin(admin_url: str, namespace: str) -> Iterator[Store]:
    """The same for a user who may do everything: take what the namespace holds as it is, and put it back."""
    store = Store(Server(admin_url), namespace)
    yield store
    store.close()


@pytest.fixture
def bench(tmp_path: Path, server_url: str, namespace: str) -> Iterator[Bench]:
    """Supervisors in the test's namespace."""
    bench = Bench(tmp_path, server_url, namespace)
    yield bench
    bench.close()


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the developer's own server."""
    monkeypatch.delenv("TEMPOTASK_DB", raising=False)
    monkeypatch.delenv("TEMPOTASK_HOME", raising=False)


@pytest.fixture(autouse=True)
def _no_process_left_behind() -> Iterator[None]:
    """Fails a test after which processes go on that were not there before it; they get a while to end by themselves."""
    me = psutil.Process()
    before = set(me.children(recursive=True))
    yield
    started = [child for child in me.children(recursive=True) if child not in before]
    _, left = psutil.wait_procs(started, timeout=LONG)
    # Read before they are killed, when there is still something to read.
    names = [_describe(process) for process in left]
    for process in left:
        process.kill()
    psutil.wait_procs(left, timeout=LONG)
    assert not left, f"the test left processes behind: {names}"


@pytest.fixture(autouse=True)
def _no_thread_left_behind() -> Iterator[None]:
    """Fails a test after which threads of ours go on: they would open and close connections beside later tests."""
    before = set(threading.enumerate())
    yield
    left = [thread for thread in threading.enumerate() if thread not in before and thread.name.startswith("tempotask")]
    for thread in left:
        thread.join(LONG)
    assert not [thread.name for thread in left if thread.is_alive()], "the test left threads behind"


def _describe(process: psutil.Process) -> str:
    try:
        return f"{process.pid} {' '.join(process.cmdline()) or process.name()} ({process.status()})"
    except psutil.NoSuchProcess:
        return str(process.pid)


@pytest.fixture(scope="session")
def _short_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="tempotask-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def short_path(_short_folder: Path) -> Path:
    """A folder of the test's own whose path leaves room for a unix socket's name, which pytest's own may not.

    It goes with the session: what a test started may write to it until the look for leftovers has seen it end.
    """
    return Path(tempfile.mkdtemp(dir=_short_folder))
