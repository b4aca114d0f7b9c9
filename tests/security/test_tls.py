"""TLS with a real server: it works for everybody with the right certificates, and without them one line says why."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli.typed import Run
from pool.running import LONG, Bench
from sentinel import free_port
from servers import OwnServer
from tls_server import KEY_PASSWORD, Authority, TlsServer, why_not

from tempotask import QueueManager, ServerUnavailable

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def authority(folder: Path) -> Authority:
    return Authority(folder, "ours")


@pytest.fixture(scope="module")
def server(folder: Path, authority: Authority) -> Iterator[TlsServer]:
    server = TlsServer(folder, authority, clients=False)
    yield server
    server.kill()


@pytest.fixture(scope="module")
def asking(folder: Path, authority: Authority) -> Iterator[TlsServer]:
    """A server that asks its clients for certificates."""
    server = TlsServer(folder, authority, clients=True)
    yield server
    server.kill()


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[int]:
    """The port of a server without TLS."""
    port = free_port()
    server = OwnServer(tmp_path, "--port", str(port))
    yield port
    server.kill()


def refusal(url: str, *, patience: float = 1000) -> str:
    """What a producer is told at its first use, at once: waiting cures none of it."""
    with (
        QueueManager.init(url, options={"connect_timeout": patience}) as manager,
        pytest.raises(ServerUnavailable) as told,
    ):
        manager.enqueue(name="a", queue="q", data=1)
    assert "\n" not in str(told.value)
    return str(told.value)


def test_producers_supervisors_workers_and_commands_speak_tls(
    server: TlsServer, authority: Authority, tmp_path: Path, bare: Run
) -> None:
    url = server.url(ssl_ca_certs=authority.certificate)
    bench = Bench(tmp_path, url, f"t-{uuid.uuid4().hex[:12]}")
    supervisor = bench.start(workers=1)
    assert bench.manager.enqueue(name="echo", queue="q", data=1).result(timeout=LONG) == 1
    ended = bare("queues", "--json", "--db", url, "--namespace", bench.namespace)
    assert (ended.status, ended.objects[0]["completed"]) == (0, 1)
    assert supervisor.stop() == 0
    bench.close()


def test_a_server_that_asks_for_a_certificate_gets_ours(
    asking: TlsServer, authority: Authority, tmp_path: Path
) -> None:
    certificate, key = authority.sign("client", password=KEY_PASSWORD)
    own: dict[str, Any] = {"ssl_certfile": certificate, "ssl_keyfile": key, "ssl_password": KEY_PASSWORD}
    bench = Bench(tmp_path, asking.url(ssl_ca_certs=authority.certificate, **own), f"t-{uuid.uuid4().hex[:12]}")
    supervisor = bench.start(workers=1)
    assert bench.manager.enqueue(name="echo", queue="q", data=1).result(timeout=LONG) == 1
    assert supervisor.stop() == 0
    assert KEY_PASSWORD not in supervisor.log
    bench.close()
    assert "asks for a certificate of ours" in refusal(asking.url(ssl_ca_certs=authority.certificate))
    own["ssl_password"] = f"not {KEY_PASSWORD}"
    told = refusal(asking.url(ssl_ca_certs=authority.certificate, **own))
    assert "ssl_password does not open the key" in told
    assert KEY_PASSWORD not in told


def test_a_certificate_that_nobody_we_trust_has_signed_is_refused(server: TlsServer, folder: Path) -> None:
    assert "nobody whom we trust has signed its certificate" in refusal(server.url())
    theirs = Authority(folder, "theirs").certificate
    assert "nobody whom we trust has signed its certificate" in refusal(server.url(ssl_ca_certs=theirs))


def test_a_certificate_for_another_name_is_refused(server: TlsServer, authority: Authority) -> None:
    told = refusal(server.url(host="127.0.0.1", ssl_ca_certs=authority.certificate))
    assert "its certificate is for another name" in told


def test_a_key_that_is_not_that_of_our_certificate_is_refused(asking: TlsServer, authority: Authority) -> None:
    certificate, _ = authority.sign("one")
    _, key = authority.sign("another")
    told = refusal(asking.url(ssl_ca_certs=authority.certificate, ssl_certfile=certificate, ssl_keyfile=key))
    assert "the key that ssl_keyfile names in the URL is not that of the certificate" in told


def test_files_that_are_not_there_or_are_something_else_are_named(
    server: TlsServer, authority: Authority, folder: Path
) -> None:
    assert "(ssl_ca_certs, ssl_certfile, ssl_keyfile) is not there" in refusal(server.url(ssl_ca_certs="/nowhere"))
    (folder / "empty").touch()
    assert "holds no certificate" in refusal(server.url(ssl_ca_certs=folder / "empty"))


def test_with_the_wrong_scheme_the_right_one_is_named(server: TlsServer, plain: int) -> None:
    assert "if it speaks TLS, write rediss://, or give" in refusal(server.url(scheme="redis"), patience=0.2)
    assert "if it does not speak TLS, write redis://, or give" in refusal(f"rediss://localhost:{plain}", patience=0.2)


def test_a_supervisor_and_a_command_end_with_that_line(server: TlsServer, tmp_path: Path, bare: Run) -> None:
    bench = Bench(tmp_path, server.url(), "nowhere")
    supervisor = bench.begin()
    assert supervisor.end() == 2
    assert supervisor.lines[-1].startswith("tempotask-supervisor: no TLS with the server at rediss://localhost:")
    bench.supervisors.clear()
    bench.manager.close()
    bench.store.close()
    ended = bare("queues", "--db", server.url())
    assert (ended.status, ended.err.count("\n")) == (2, 1)
    assert ended.err.startswith("tempotask: no TLS with the server at")
    assert server.password not in supervisor.log + ended.err
