"""A server that goes away, forgets, or is misused, while real workers run jobs."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import redis
from pool.running import LONG, Bench, wait_until

DURABLE = ("--appendonly", "yes", "--appendfsync", "always")
Make = Callable[[str], Bench]


def fill(bench: Bench, number: int = 600) -> Any:
    """Jobs that are written down, half of them begun by the time this returns."""
    handles = bench.manager.enqueue_many({"name": "enter", "queue": "q", "data": 0.002} for _ in range(number))
    bench.start(workers=2)
    wait_until(lambda: len(bench.entries()) > number // 3, "nothing runs")
    return handles


def proved(bench: Bench, handles: Any) -> None:
    """That all have ended well, each once, with the result of a try that was finished."""
    results = handles.results(timeout=LONG)
    ended = {(id, int(token)) for id, what, token, _ in bench.entries() if what == "end"}
    assert all((handle.id, token) in ended for handle, token in zip(handles, results, strict=True))
    wait_until(lambda: bench.store.quiet(), "something is left")
    assert int(bench.store.read("HGET", "counts:q", "completed")) == len(handles)
    assert bench.supervisors[0].stop() == 0


def test_a_server_that_is_killed_and_started_again_loses_no_job(
    start_server: Callable[..., Any], make_bench: Make
) -> None:
    server = start_server(*DURABLE)
    bench = make_bench(server.url)
    handles = fill(bench)
    for _ in range(2):
        done = len(bench.entries())
        server.kill()
        server.start()
        # All but all may have run by then.
        wait_until(lambda done=done: len(bench.entries()) > min(done + 60, 1100), "the workers do not come back")
    proved(bench, handles)
    assert not bench.supervisors[0].about("killed by")


def test_a_server_that_is_away_for_a_while_is_waited_for(start_server: Callable[..., Any], make_bench: Make) -> None:
    server = start_server(*DURABLE)
    bench = make_bench(server.url)
    bench.start(workers=1)
    handle = bench.manager.enqueue(name="hold", queue="q")
    bench.hear()
    server.kill()
    bench.open_gate()
    time.sleep(1)  # that it is away so long is what is asked
    server.start()
    assert handle.result(timeout=LONG) == 1
    assert bench.manager.enqueue(name="echo", queue="q", data=1).result(timeout=LONG) == 1
    assert bench.supervisors[0].stop() == 0


def test_connections_that_are_cut_again_and_again_cost_nothing_but_time(
    start_server: Callable[..., Any], make_bench: Make
) -> None:
    server = start_server()
    bench = make_bench(server.url)
    handles = fill(bench)
    with redis.Redis.from_url(server.url) as client:
        while len(bench.entries()) < 1100:
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            seen = len(bench.entries())
            wait_until(lambda seen=seen: len(bench.entries()) > seen + 20 or seen > 1000, "it stands still")
    proved(bench, handles)
    began = Counter(id for id, what, *_ in bench.entries() if what == "start")
    assert set(began.values()) == {1}, "a cut connection is no reason to run a job twice"


def test_a_server_that_forgets_its_scripts_is_told_them_again(
    start_server: Callable[..., Any], make_bench: Make
) -> None:
    server = start_server()
    bench = make_bench(server.url)
    handles = fill(bench)
    with redis.Redis.from_url(server.url) as client:
        for _ in range(10):
            client.script_flush()
            seen = len(bench.entries())
            wait_until(lambda seen=seen: len(bench.entries()) > min(seen + 40, 1100), "it stands still")
    proved(bench, handles)


def test_on_a_server_that_was_emptied_the_supervisor_starts_over_under_a_new_id(
    start_server: Callable[..., Any], make_bench: Make
) -> None:
    server = start_server()
    bench = make_bench(server.url)
    supervisor = bench.start("--lease", "2", workers=2)
    (before,) = bench.store.registrations()
    bench.manager.enqueue(name="hold", queue="q")
    bench.hear()
    server.kill()
    server.start()
    supervisor.wait_for("starting over under a new id")
    assert bench.manager.enqueue(name="echo", queue="q", data=1).result(timeout=LONG) == 1
    wait_until(lambda: len(supervisor.workers()) == 2, "there are not two workers")
    wait_until(lambda: len(bench.store.registrations()) == 1, "it is not known")
    assert before not in bench.store.registrations()
    assert supervisor.stop() == 0


def is_busy(client: redis.Redis) -> bool:
    """Whether a script keeps the server from all else."""
    try:
        client.ping()
    except redis.ResponseError as error:
        return str(error).startswith("BUSY")
    return False


def test_while_somebody_keeps_the_server_busy_with_a_script_workers_wait(
    start_server: Callable[..., Any], make_bench: Make
) -> None:
    """The server answers BUSY to everybody then, which is no reason to throw results away."""
    server = start_server("--busy-reply-threshold", "50")
    bench = make_bench(server.url)
    handles = fill(bench)
    workers = {worker.pid for worker in bench.supervisors[0].workers()}

    def occupy() -> None:
        with redis.Redis.from_url(server.url) as client, pytest.raises(redis.ResponseError):
            client.eval("while true do end", 0)

    for _ in range(2):
        busy = threading.Thread(target=occupy)
        busy.start()
        with redis.Redis.from_url(server.url) as client:
            wait_until(lambda client=client: is_busy(client), "the script does not run")
            time.sleep(0.6)  # that it is busy so long is what is asked
            client.script_kill()
        busy.join()
    assert {worker.pid for worker in bench.supervisors[0].workers()} == workers
    proved(bench, handles)
    began = Counter(id for id, what, *_ in bench.entries() if what == "start")
    assert set(began.values()) == {1}


def test_a_stop_while_the_server_is_away_ends_within_the_grace(
    start_server: Callable[..., Any], make_bench: Make
) -> None:
    server = start_server(*DURABLE)
    bench = make_bench(server.url)
    supervisor = bench.start("--grace", "1", workers=2)
    server.kill()
    began = time.monotonic()
    supervisor.signal()
    assert supervisor.end() in (0, 1)
    assert time.monotonic() - began < 30
    server.start()


def test_the_password_of_the_server_is_nowhere_to_be_seen(start_server: Callable[..., Any], make_bench: Make) -> None:
    server = start_server("--requirepass", "geheim-4711")
    bench = make_bench(server.url.replace("unix://", "unix://:geheim-4711@"))
    supervisor = bench.start(workers=1)
    assert bench.manager.enqueue(name="echo", queue="q", data=1).result(timeout=LONG) == 1
    titles = [" ".join(process.cmdline()) for process in supervisor.tree()]
    assert len(titles) == 3
    assert all(title.startswith("tempotask: ") for title in titles)
    assert not any("geheim" in title for title in titles)
    assert supervisor.stop() == 0
    assert "geheim" not in supervisor.log
