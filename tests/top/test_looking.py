"""How `tempotask top` looks at a server: with few commands, whatever there is to see."""

from __future__ import annotations

from collections.abc import Callable

from pool.running import Bench, wait_until
from servers import OwnServer

from tempotask import QueueManager
from tempotask.store.connect import Server
from tempotask.store.store import Store
from tempotask.top.state import STEP, Looking


def test_a_look_is_one_command_and_one_more_for_each_500_queues(bench: Bench) -> None:
    queues = 2 * STEP + 200
    bench.manager.enqueue_many({"name": "n", "queue": f"q{n % queues}", "data": n} for n in range(2 * queues))
    looking = Looking(bench.store)
    looking.look()
    sent = looking.commands
    seen = looking.look()
    assert looking.commands - sent == 3
    assert len(seen.queues) == queues
    assert {queue.waiting for queue in seen.queues} == {2}


def test_it_asks_supervisors_now_and_then_and_a_new_one_at_once(bench: Bench) -> None:
    looking = Looking(bench.store)
    assert (looking.look().supervisors, looking.commands) == (0, 2)
    bench.start(workers=1)
    # Names of queues are read anew now and then.
    assert looking.look().asked != []
    assert looking.commands - 2 in (1 + 4, 1 + 4 + 1)
    wait_until(lambda: looking.look().workers, "no answer")
    before = looking.commands
    for _ in range(20):
        assert looking.look().silent == []
    assert looking.commands - before <= 20 + 1 + 4, "it asks no more often than every few seconds"


def test_a_rate_counts_what_ended_between_looks(bench: Bench) -> None:
    bench.start(workers=1)
    bench.manager.enqueue(name="echo", queue="q").result(60)
    looking = Looking(bench.store)
    (queue,) = looking.look().queues
    assert queue.rate is None
    bench.manager.enqueue_many({"name": "echo", "queue": "q"} for _ in range(100)).results(60)
    (queue,) = wait_until(lambda: [one for one in looking.look().queues if one.rate], "no rate")
    assert queue.rate is not None
    assert queue.rate > 0
    assert queue.completed == 101
    wait_until(lambda: looking.look().queues[0].rate == 0, "the rate does not go down when nothing ends any more")


def test_a_job_that_failed_and_is_retried_elsewhere_is_no_failure_any_more(bench: Bench) -> None:
    bench.start(workers=1)
    handles = [bench.manager.enqueue(name="flaky", queue="q", data=9) for _ in range(2)]
    wait_until(lambda: all(handle.status() == "failed" for handle in handles), "they do not fail")
    looking = Looking(bench.store)
    assert {failure.id for failure in looking.look().failures} == {handle.id for handle in handles}
    bench.manager.pause_queue("q")
    assert bench.manager.retry_job_by_id(handles[0].id)
    assert [failure.id for failure in looking.look().failures] == [handles[1].id]
    bench.manager.delete_all_jobs()
    assert looking.look().failures == []


def test_on_a_server_that_is_full_queues_are_seen_all_the_same(start_server: Callable[..., OwnServer]) -> None:
    server = start_server("--maxmemory-policy", "noeviction")
    with QueueManager.init(server.url) as manager:
        manager.enqueue(name="a", queue="q")
        store = Store(Server(server.url), "tempotask")
        assert store.register("s", 60, b"registration")
        client = store.server.client()
        client.config_set("maxmemory", "1mb")
        looking = Looking(store)
        state = looking.look()
        assert [queue.waiting for queue in state.queues] == [1]
        assert (state.supervisors, state.asked) == (1, ["s"])
        client.config_set("maxmemory", "0")
        store.close()
