"""A real server that speaks TLS, and the certificates for it."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from pathlib import Path
from urllib.parse import urlencode

from sentinel import free_port

KEY_PASSWORD = "schluessel-4713"
SECONDS = 60.0


class Authority:
    """Who signs certificates."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.name = name
        self.certificate = folder / f"{name}.pem"
        self._key = folder / f"{name}.key"
        new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
        _openssl(
            *("req", "-x509", *new_key, "-nodes", "-subj", f"/CN={name}", "-days", "2"),
            *("-addext", "keyUsage=critical,keyCertSign", "-keyout", self._key, "-out", self.certificate),
        )

    def sign(self, name: str, *, password: str = "") -> tuple[Path, Path]:
        """A certificate for that name, and its key, which may be locked by a password."""
        key, request, signed = (self.folder / f"{self.name}-{name}.{kind}" for kind in ("key", "csr", "pem"))
        lock = ("-aes256", "-pass", f"pass:{password}") if password else ()
        _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:prime256v1", *lock, "-out", key)
        unlock = ("-passin", f"pass:{password}") if password else ()
        _openssl(
            *("req", "-new", "-key", key, *unlock, "-subj", f"/CN={name}"),
            *("-addext", f"subjectAltName=DNS:{name}", "-out", request),
        )
        _openssl(
            *("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key, "-days", "2"),
            *("-CAcreateserial", "-copy_extensions", "copy", "-out", signed),
        )
        return signed, key


class TlsServer:
    """A Redis that listens for TLS on a port of localhost, and for nothing else.

    `clients`: whether it asks them for certificates.
    """

    def __init__(self, folder: Path, authority: Authority, *, clients: bool) -> None:
        self.port = free_port()
        self.password = "geheim-4712"
        certificate, key = authority.sign("localhost")
        program = shutil.which("redis-server")
        assert program is not None
        self._process = subprocess.Popen(
            [
                *(program, "--port", "0", "--tls-port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder)),
                *("--tls-cert-file", str(certificate), "--tls-key-file", str(key)),
                *("--tls-ca-cert-file", str(authority.certificate), "--tls-auth-clients", "yes" if clients else "no"),
                *("--save", "", "--loglevel", "warning", "--requirepass", self.password),
            ],
            stdin=subprocess.DEVNULL,
        )
        end = time.monotonic() + SECONDS
        while not self._listens():
            assert time.monotonic() < end, "it does not listen"
            assert self._process.poll() is None, f"it ended with status {self._process.poll()}"
            time.sleep(0.005)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def url(self, *, host: str = "localhost", scheme: str = "rediss", **query: object) -> str:
        """Its URL, with settings in the query."""
        return f"{scheme}://:{self.password}@{host}:{self.port}/0?{urlencode(query)}"

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


def why_not() -> str:
    """Why there can be no such server here; nothing if there can."""
    program = shutil.which("redis-server")
    if program is None or shutil.which("openssl") is None:
        return "there is no redis-server, or no openssl"
    told = subprocess.run([program, "--port", "0", "--tls-port", "1"], capture_output=True, text=True, timeout=SECONDS)
    # One without TLS does not know the option.
    return "" if "tls-cert-file" in told.stdout + told.stderr else "this redis-server has no TLS"


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=SECONDS)
