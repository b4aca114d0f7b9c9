"""A server that refuses, or something else in its place: workers say why, wait, and no job pays for it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import redis
from pool.running import LONG, Bench, wait_until
from rights import USER, as_options, limited
from servers import OwnServer

from tempotask import JobFailed
from tempotask.pauses import growing

DURABLE = ("--appendonly", "yes", "--appendfsync", "always")
Start = Callable[..., OwnServer]


@contextmanager
def bench_on(server: OwnServer, folder: Path) -> Iterator[Bench]:
    bench = Bench(folder, server.url, "shop")
    try:
        yield bench
    finally:
        bench.close()


@contextmanager
def stranger(path: str) -> Iterator[None]:
    """Somebody else who answers where the server was."""
    Path(path).unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(64)

        def answer() -> None:
            while True:
                try:
                    caller = listener.accept()[0]
                except OSError:
                    return
                # Who called may have given up.
                with caller, suppress(OSError):
                    caller.sendall(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            Path(path).unlink()


def test_a_worker_that_may_not_wait_says_so_once_and_asks_no_more_than_a_few_times_a_second(
    start_server: Start, tmp_path: Path
) -> None:
    server = start_server(*as_options())
    with bench_on(server, tmp_path) as bench, redis.Redis.from_url(server.url) as admin:
        admin.execute_command("ACL", "SETUSER", USER, "-blpop")  # type: ignore[no-untyped-call]
        supervisor = bench.start("--db", limited(server.url), workers=1)
        (worker,) = supervisor.workers()
        unable = ("the wait of worker", "listening for orders")
        for what in unable:
            wait_until(lambda what=what: supervisor.about(what), "it does not say so")
        assert bench.manager.enqueue(name="echo", queue="q", data=1).result(timeout=LONG) == 1
        before = int(admin.info("stats")["total_commands_processed"])
        time.sleep(2)  # what happens in this time is what is asked
        assert int(admin.info("stats")["total_commands_processed"]) - before < 200
        for what in unable:
            (line,) = supervisor.about(what)
            assert "our user's ACL rule lacks +blpop" in line
        admin.execute_command("ACL", "SETUSER", USER, "+blpop")  # type: ignore[no-untyped-call]
        assert bench.manager.enqueue(name="echo", queue="q", data=2).result(timeout=LONG) == 2
        assert supervisor.workers() == [worker]
        assert supervisor.stop() == 0


def test_a_worker_that_may_not_wait_ends_when_it_is_told_to(start_server: Start, tmp_path: Path) -> None:
    server = start_server(*as_options())
    with bench_on(server, tmp_path) as bench, redis.Redis.from_url(server.url) as admin:
        admin.execute_command("ACL", "SETUSER", USER, "-blpop")  # type: ignore[no-untyped-call]
        supervisor = bench.start("--db", limited(server.url), workers=2)
        wait_until(lambda: supervisor.log.count("the wait of worker") == 2, "they do not say so")
        assert supervisor.stop() == 0
        assert not supervisor.about("SIGKILL")


def test_no_job_pays_for_a_user_who_is_locked_out_while_it_runs(start_server: Start, tmp_path: Path) -> None:
    server = start_server(*as_options())
    with bench_on(server, tmp_path) as bench, redis.Redis.from_url(server.url) as admin:
        supervisor = bench.start("--db", limited(server.url), workers=1)
        (worker,) = supervisor.workers()
        handle = bench.manager.enqueue(name="hold", queue="q", options={"max_crashes": 1})
        bench.hear()
        admin.execute_command("ACL", "SETUSER", USER, "off")  # type: ignore[no-untyped-call]
        admin.execute_command("CLIENT", "KILL", "USER", USER)  # type: ignore[no-untyped-call]
        bench.open_gate()
        assert "fails, and is tried again" in supervisor.wait_for("a turn of worker")
        admin.execute_command("ACL", "SETUSER", USER, "on")  # type: ignore[no-untyped-call]
        assert handle.result(timeout=LONG) == 1
        assert bench.manager.enqueue(name="echo", queue="q", data=1).result(timeout=LONG) == 1
        assert supervisor.workers() == [worker]
        assert "Traceback" not in supervisor.log
        assert supervisor.stop() == 0


def test_no_job_pays_for_something_else_that_answers_in_the_place_of_the_server(
    start_server: Start, tmp_path: Path
) -> None:
    server = start_server(*DURABLE)
    with bench_on(server, tmp_path) as bench:
        supervisor = bench.start(workers=1)
        (worker,) = supervisor.workers()
        handle = bench.manager.enqueue(name="hold", queue="q", options={"max_crashes": 1})
        bench.hear()
        server.kill()
        with stranger(server.path):
            bench.open_gate()
            assert "fails, and is tried again" in supervisor.wait_for("a turn of worker")
        server.start()
        assert handle.result(timeout=LONG) == 1
        assert bench.manager.enqueue(name="echo", queue="q", data=1).result(timeout=LONG) == 1
        assert supervisor.workers() == [worker]
        assert "Traceback" not in supervisor.log
        assert supervisor.stop() == 0


@pytest.mark.parametrize(("tries", "seconds"), [(1, 0.1), (2, 0.2), (4, 0.8), (9, 25.6), (10, 30.0), (5000, 30.0)])
def test_pauses_double_up_to_the_longest_however_often_it_is_tried(tries: int, seconds: float) -> None:
    assert growing(0.1, 30.0, tries) == pytest.approx(seconds)


def test_a_result_that_the_server_does_not_take_fails_its_job_and_no_other(start_server: Start, tmp_path: Path) -> None:
    server = start_server("--proto-max-bulk-len", "1mb")
    with bench_on(server, tmp_path) as bench:
        supervisor = bench.start(workers=1)
        large = [bench.manager.enqueue(name="large", queue="q", data=size) for size in (900_000, 2_000_000, 900_000)]
        others = bench.manager.enqueue_many({"name": "echo", "queue": "q", "data": n} for n in range(20))
        assert others.results(timeout=LONG) == list(range(20))
        with pytest.raises(JobFailed, match=r" of 2,000,\d+ bytes is more than the server takes") as failed:
            large[1].result(timeout=LONG)
        assert failed.value.type == "InvalidPayload"
        assert [len(large[n].result(timeout=LONG)) for n in (0, 2)] == [900_000, 900_000]
        noisy = bench.manager.enqueue(name="shouts", queue="q", data=300)
        assert noisy.result(timeout=LONG) == 1
        assert noisy.logs() == []
        assert supervisor.stop() == 0


def test_the_time_that_a_slow_server_takes_for_a_large_result_is_not_the_time_of_its_job(
    start_server: Start, tmp_path: Path
) -> None:
    server = start_server()
    with bench_on(server, tmp_path) as bench:
        supervisor = bench.start(workers=1)
        limit = {"timeout": 3, "kill_after": 0.2}
        handle = bench.manager.enqueue(name="bulky", queue="q", data=2_000_000, options=limit)
        bench.hear()
        with redis.Redis.from_url(server.url) as client:
            client.client_pause(4500)  # longer than the job may run
        bench.open_gate()
        assert len(handle.result(timeout=LONG)) == 2_000_000
        assert not supervisor.about("SIGKILL")
        assert supervisor.stop() == 0


def test_no_result_is_given_up_for_an_outage_however_long_it_is(start_server: Start, tmp_path: Path) -> None:
    server = start_server(*DURABLE)
    with bench_on(server, tmp_path) as bench:
        supervisor = bench.start(workers=1)
        handle = bench.manager.enqueue(name="bulky", queue="q", data=2_000_000)
        bench.hear()
        server.kill()
        bench.open_gate()
        time.sleep(3)  # how long it lasts is what matters
        server.start()
        assert len(handle.result(timeout=LONG)) == 2_000_000
        assert not supervisor.about("the server refuses")
        assert supervisor.stop() == 0
