"""User and password of the server are nowhere to be seen: planted, and looked for in all that is put out."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import traceback
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest
import redis
from cli.typed import PROGRAM, Run
from pool.running import LONG, Bench, Supervisor, wait_until
from servers import OwnServer

from tempotask import Event, JobFailed, QueueManager, TempoTaskError
from tempotask.pool.report import AppReport, Fork, WorkerSpec
from tempotask.store.address import from_client, from_url, without_secrets
from tempotask.store.connect import Server

MARK = "zq7xk4w"
"""Part of every secret: it is looked for in whatever way they are spelt."""
USER, PASSWORD = f"{MARK}user", f"{MARK}p@ss/w%rd"
APPS = Path(__file__).parent / "apps"
COMMANDS = (
    *("queues", "jobs", "schedules", "check", "server", "stacks"),
    *("pause q", "resume q", "retry --queue q", "cancel --queue nothing", "delete --queue nothing --yes"),
)
Urls = Mapping[str, str]


@pytest.fixture
def server(start_server: Callable[..., OwnServer]) -> OwnServer:
    """One that lets in nobody but this user, and that keeps what it is told as it is."""
    user = ("--user", USER, "on", f">{PASSWORD}", "~*", "&*", "+@all")
    return start_server(*user, "--user", "default", "off", "--rdbcompression", "no")


@pytest.fixture
def urls(server: OwnServer) -> Urls:
    """Its URL, with the secrets where they may stand."""
    user, password = quote(USER, safe=""), quote(PASSWORD, safe="")
    return {
        "before the host": f"unix://{user}:{password}@{server.path}",
        "in the query": f"unix://{server.path}?username={user}&password={password}",
    }


@pytest.fixture
def bench(urls: Urls, tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path, urls["before the host"], f"t-{uuid.uuid4().hex[:12]}")
    yield bench
    bench.close()


def assert_hidden(*texts: object) -> None:
    for text in texts:
        assert MARK not in str(text)
        assert MARK not in repr(text)


def seen_by_everybody(supervisor: Supervisor) -> str:
    """What any user of the machine may read of its processes."""
    told = ""
    for process in supervisor.tree():
        for name in ("cmdline", "comm", "stat"):
            told += Path(f"/proc/{process.pid}/{name}").read_bytes().decode(errors="replace")
    return told


def work(bench: Bench) -> list[str]:
    """Has jobs end in all the ways there are, and looks at what is told of them; their ids."""
    happened: list[Event] = []
    subscriptions = [bench.manager.on(kind, happened.append) for kind in ("failed", "completed", "started")]
    handles = [
        bench.manager.enqueue(name=name, queue="q", data=data)
        for name, data in (("works", None), ("shows_all", None), ("takes_long", None), ("nobody", None))
    ]
    handles.append(bench.manager.enqueue(name="quotes_its_url", queue="q", data=f"redis://{USER}:{PASSWORD}@host"))
    assert handles[0].result(timeout=LONG) == "done"
    for handle in handles[1:]:
        with pytest.raises(JobFailed) as failed:
            handle.result(timeout=LONG)
        assert_hidden(failed.value, failed.value.message, failed.value.traceback, handle.id, handle)
        # `data` is what was given.
        info = handle.info()
        assert_hidden(info.errors, info.error, info.worker, info.host, info.id)
    wait_until(lambda: sum(event.event == "failed" for event in happened) == 4, "events are missing")
    for event in happened:
        assert_hidden(event)
    for subscription in subscriptions:
        subscription.close()
    return [handle.id for handle in handles]


@pytest.mark.parametrize("where", ["before the host", "in the query"])
@pytest.mark.parametrize("by", ["--db", "$TEMPOTASK_DB", "init"])
def test_what_a_pool_at_work_and_commands_beside_it_put_out_holds_no_secret(
    bench: Bench, urls: Urls, bare: Run, server: OwnServer, where: str, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = urls[where]
    options = ["--namespace", bench.namespace, "--log-format", "json" if where == "in the query" else "text"]
    environment = {"$TEMPOTASK_DB": {"TEMPOTASK_DB": url}, "init": {"TEST_URL": url}}.get(by, {})
    arguments = ["secretive:tempotask", "--concurrency", "1", *options, *(("--db", url) if by == "--db" else ())]
    printed = bench.folder / "printed"
    through = ("sh", "-c", f'exec "$@" > {shlex.quote(str(printed))}', "sh")
    supervisor = Supervisor(arguments, APPS, {**os.environ, **environment}, through)
    bench.supervisors.append(supervisor)
    supervisor.wait_for("ready: ")
    ids = work(bench)
    assert_hidden(seen_by_everybody(supervisor))
    if by == "--db":
        # Nor do handlers, and the programs that they start, find it in their environment.
        assert not any(MARK in str(process.environ()) for process in supervisor.tree())
    monkeypatch.setenv("TEMPOTASK_DB", url)
    given = ["--namespace", bench.namespace, *(("--db", url) if by == "--db" else ())]
    for command in (*COMMANDS, f"logs {ids[0]}", f"job {ids[1]}", f"job {ids[0]}", "job nobody"):
        for form in ([], ["--json"]):
            ended = bare(*command.split(), *given, *form)
            assert ended.status in (0, 1), ended
            assert_hidden(ended.out, ended.err)
    assert supervisor.stop() == 0
    assert_hidden(supervisor.log, printed.read_text())
    assert supervisor.about(f"server unix://{server.path}, namespace")
    assert "shows_all" in printed.read_text(), "what handlers print is looked at too"


def test_the_server_is_told_no_secret_but_to_let_us_in(bench: Bench, server: OwnServer, urls: Urls) -> None:
    supervisor = bench.start(app="secretive:tempotask", folder=APPS, workers=1)
    assert bench.manager.enqueue(name="works", queue="q").result(timeout=LONG) == "done"
    with pytest.raises(JobFailed):
        bench.manager.enqueue(name="shows_all", queue="q").result(timeout=LONG)
    with redis.Redis.from_url(urls["before the host"]) as client:
        client.save()
    stored = (server.folder / "dump.rdb").read_bytes()
    assert b"works" in stored
    assert MARK.encode() not in stored
    assert supervisor.stop() == 0


def wrong(server: OwnServer, tmp_path: Path) -> dict[str, str]:
    """URLs that lead nowhere, or that nobody is let in by."""
    user, password = quote(USER, safe=""), quote(PASSWORD, safe="")
    return {
        "nobody listens": f"unix://{user}:{password}@{tmp_path}/nobody.sock",
        "nobody listens at that port": f"redis://{user}:{password}@127.0.0.1:1/0",
        "wrong password": f"unix://{user}:{password}x@{server.path}",
        "wrong user": f"unix://{user}x:{password}@{server.path}",
        "wrong password in the query": f"unix://{server.path}?username={user}&password={password}x",
        "no such database": f"unix://{user}:{password}@{server.path}?db=9999",
        "no such setting": f"unix://{user}:{password}@{server.path}?timeot=3",
        "not quoted": f"redis://{USER}:{PASSWORD}@host:6379/0",
        "a question mark in the password": f"redis://{user}:{MARK}?{MARK}=1@host",
        "a question mark and a number": f"redis://{user}:12?{MARK}x=1@host",
        "a hash in the password": f"redis://{user}:{MARK}#{MARK}@host",
        "no scheme": f"{user}:{password}@host:6379",
        "no scheme, no host": f"{user}:{password}",
        "two slashes too few": f"redis:{user}:{password}@host",
        "the colon is missing": f"redis//{user}:{password}@host",
        "another scheme": f"https://{user}:{password}@host",
        "a port that is none": f"redis://{user}:{password}@host:port",
        "quoted too much": f"redis://{user}:{quote(f'{PASSWORD}@host', safe='')}",
        "a Sentinel's password": f"redis+sentinel://{user}:{password}@host/?sentinel_password={password}",
        "a key's password": f"rediss://{user}:{password}@host/0/0?ssl_password={password}",
    }


def produce(url: str) -> None:
    with QueueManager.init(url, options={"connect_timeout": 0.2}) as manager:
        manager.enqueue(name="a", queue="q")


def test_no_failure_to_reach_the_server_tells_a_secret(server: OwnServer, tmp_path: Path, bare: Run) -> None:
    for what, url in wrong(server, tmp_path).items():
        with pytest.raises(TempoTaskError) as told:
            produce(url)
        # What stands in a log that shows where an error came from: causes and contexts too.
        assert_hidden(what, "".join(traceback.format_exception(told.value)))
        for command in (["queues"], ["queues", "--json"], ["enqueue", "q", "a"]):
            if "listens" in what and command[0] == "enqueue":
                continue  # it is waited for
            ended = bare(*command, "--db", url)
            assert (ended.status, ended.out) == (2, ""), what
            assert ended.err.count("\n") == 1, what
            assert_hidden(ended.err)


@pytest.mark.parametrize("what", ["wrong password", "not quoted", "no such setting"])
def test_a_supervisor_that_can_not_start_tells_no_secret(server: OwnServer, tmp_path: Path, what: str) -> None:
    url = wrong(server, tmp_path)[what]
    for arguments, environment in ((["--db", url], {}), ([], {"TEST_URL": url}), ([], {"TEMPOTASK_DB": url})):
        supervisor = Supervisor(["secretive:tempotask", *arguments], APPS, {**os.environ, **environment})
        assert supervisor.end() == 2
        assert supervisor.lines
        assert_hidden(supervisor.log)


@pytest.mark.parametrize(
    "line",
    [
        f'tempotask = QueueManager.init("redis://{USER}:{PASSWORD}@host/0/0")',
        f'tempotask = QueueManager.init(db="unix:///s?password={MARK}x&timeot=3")',
        f'raise ValueError("nobody at redis://:{MARK}@host")',
    ],
)
def test_an_application_that_does_not_import_shows_its_traceback_without_the_secret(tmp_path: Path, line: str) -> None:
    (tmp_path / "application.py").write_text(f"from tempotask import QueueManager\n\n{line}\n")
    supervisor = Supervisor(["application"], tmp_path, dict(os.environ))
    assert supervisor.end() == 2
    assert supervisor.about("line 3"), "the traceback is not there"
    assert_hidden(supervisor.log)


def test_a_pool_that_a_program_starts_hides_its_url(urls: Urls, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM_TEXT)
    environment = {**os.environ, "THE_URL": urls["before the host"]}
    with subprocess.Popen([sys.executable, str(program)], stdout=subprocess.PIPE, env=environment) as running:
        try:
            assert running.stdout is not None
            assert running.stdout.readline() == b"started\n"
            supervisor, *others = psutil.Process(running.pid).children(recursive=True)
            assert len(others) == 2
            shown = [process.cmdline() for process in (supervisor, *others)]
            # Whoever started the program may have put it there; what the pool adds of its own must not have it.
            handed_down = [
                {name: value for name, value in process.environ().items() if name != "THE_URL"} for process in others
            ]
        finally:
            running.kill()
    assert_hidden(shown)
    assert_hidden(handed_down)


PROGRAM_TEXT = """
import asyncio, os, sys
from tempotask import QueueManager

tempotask = QueueManager.init(os.environ["THE_URL"], namespace="program", concurrency=1)


async def main():
    await tempotask.start()
    print("started", flush=True)
    await asyncio.sleep(600)


if __name__ == "__main__":
    asyncio.run(main())
"""


def test_a_command_that_goes_on_for_long_changes_its_title_first_of_all(bench: Bench) -> None:
    command = [*PROGRAM, "events", "--db", bench.url, "--namespace", bench.namespace]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as running:
        try:
            wait_until(lambda: bench.store.read("EXISTS", "listeners"), "it does not listen")
            shown = psutil.Process(running.pid).cmdline()
        finally:
            running.terminate()
    assert " ".join(shown).strip() == "tempotask: events"


def test_what_is_printed_for_debugging_holds_no_secret(urls: Urls) -> None:
    for url in urls.values():
        spec = WorkerSpec("w", "s", url, "n")
        assert_hidden(QueueManager.init(url), Server(url), from_url(url), from_client(redis.Redis.from_url(url)))
        assert_hidden(spec, Fork(spec), AppReport(url, "n", 1, b"", []), QueueManager.init(url).options)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("redis://u:p@host/0 is away", "redis://…@host/0 is away"),
        ("('rediss://:p/q@host')", "('rediss://…@host')"),
        ("unix://u@/s?password=p&db=1", "unix://…@/s?password=…&db=1"),
        ("see https://example.org/a@b", "see https://example.org/a@b"),
        ("mail me@example.org: done", "mail me@example.org: done"),
    ],
)
def test_only_what_may_be_a_secret_is_left_out_of_a_text(text: str, left: str) -> None:
    assert without_secrets(text) == left
