"""The example with FastAPI: what each address answers, asked in this process, with a real pool beside it; and what
outlives a web server that is killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from examples.conftest import EXAMPLES, Shell
from pool.running import wait_until

from tempotask.pytest_plugin import StartPool

PI = "31415926535897932384626433832795028841971693993751"
LONG = {"wait": 30}


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The example's file, imported here."""
    monkeypatch.syspath_prepend(EXAMPLES / "web_service")
    import web

    return web


@contextlib.asynccontextmanager
async def service(web: Any) -> AsyncIterator[httpx.AsyncClient]:
    """The service from its start to its end, and who asks it."""
    asker = httpx.AsyncClient(transport=httpx.ASGITransport(web.web), base_url="http://web")
    async with web.web.router.lifespan_context(web.web), asker as client:
        yield client


def run(web: Any, asking: Callable[[httpx.AsyncClient], Any]) -> None:
    async def main() -> None:
        async with service(web) as client:
            await asking(client)

    asyncio.run(main())


def test_an_order_is_taken_worked_on_and_handed_out(web: Any, tempotask_pool: StartPool) -> None:
    tempotask_pool(web.tempotask, concurrency=1)

    async def asking(client: httpx.AsyncClient) -> None:
        taken = await client.post("/orders", json={"digits": 50})
        assert taken.status_code == 202
        order = f"/orders/{taken.json()['id']}"
        result = await client.get(f"{order}/result", params=LONG)
        assert (result.status_code, result.json()["pi"]) == (200, PI)
        assert (await client.get(order)).json() == {**taken.json(), "status": "completed", "digits": 50, "error": None}

    run(web, asking)


def test_who_asks_too_early_is_told_so_and_an_order_can_be_cancelled(web: Any, tempotask_pool: StartPool) -> None:
    tempotask_pool(web.tempotask, concurrency=1)

    async def asking(client: httpx.AsyncClient) -> None:
        order = f"/orders/{(await client.post('/orders', json={'digits': 20_000})).json()['id']}"
        early = await client.get(f"{order}/result")
        assert (early.status_code, early.json()["pi"]) == (202, None)
        assert (await client.delete(order)).json()["cancelled"] is True
        assert (await client.get(f"{order}/result", params=LONG)).status_code == 410
        assert (await client.get(order)).json()["status"] == "cancelled"

    run(web, asking)


def test_what_can_not_be_answered_is_said_in_the_words_of_the_web(web: Any, tempotask_pool: StartPool) -> None:
    tempotask_pool(web.tempotask, concurrency=1)

    async def asking(client: httpx.AsyncClient) -> None:
        assert (await client.post("/orders", json={"digits": 0})).status_code == 422
        for address in ("/orders/unknown", "/orders/unknown/result"):
            assert (await client.get(address)).status_code == 404
        broken = await web.tempotask.aenqueue(name="pi", queue="digits", data="many")
        failed = await client.get(f"/orders/{broken.id}/result", params=LONG)
        assert failed.status_code == 500
        assert failed.json()["detail"].startswith("InvalidPayload: ")

    run(web, asking)


def test_a_queue_out_of_reach_is_told_as_503(web: Any, short_path: Path) -> None:
    before = dict(vars(web.tempotask))
    web.tempotask.move(f"unix://{short_path}/nobody", "web-service")

    async def asking(client: httpx.AsyncClient) -> None:
        refused = await client.post("/orders", json={"digits": 1})
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "10")

    try:
        run(web, asking)
    finally:
        vars(web.tempotask).update(before)


@contextlib.contextmanager
def web_server(shell: Shell, folder: Path, how: signal.Signals) -> Iterator[httpx.Client]:
    """A real web server, and who asks it; at the end its whole process group gets that signal."""
    socket = str(folder / "web.sock")
    command = ("gunicorn", "--worker-class", "asgi", "--no-control-socket", "--bind", f"unix:{socket}", "web:web")
    server = shell.start(folder, *command)
    try:
        with httpx.Client(transport=httpx.HTTPTransport(uds=socket), base_url="http://web", timeout=60) as client:
            wait_until(lambda: _answers(server, client), "the web server does not answer")
            yield client
    finally:
        os.killpg(server.pid, how)
        server.communicate(timeout=60)


def _answers(server: subprocess.Popen[str], client: httpx.Client) -> bool:
    assert server.poll() is None, f"the web server ended with {server.returncode}"
    try:
        return client.get("/openapi.json").status_code == 200
    except httpx.TransportError:
        return False


def test_an_order_outlives_a_web_server_that_is_killed(copied: Callable[[str], Path], shell: Shell) -> None:
    folder = copied("web_service")
    with web_server(shell, folder, signal.SIGKILL) as client:
        order = f"/orders/{client.post('/orders', json={'digits': 50}).json()['id']}"
        assert client.get(order).json()["status"] == "waiting"
    shell.run(folder, "tempotask-supervisor", "digits:tempotask", "--drain")
    with web_server(shell, folder, signal.SIGTERM) as client:
        assert client.get(f"{order}/result").json()["pi"] == PI
