"""The model of many hosts, where it can be worked out by hand, and the link between real ones."""

from __future__ import annotations

import dataclasses
import os
import socket
import threading
import time
from pathlib import Path

import pytest

from benchmarks.scale_model.answers import enough, steady
from benchmarks.scale_model.costs import Cold, Costs
from benchmarks.scale_model.durations import KINDS, Durations
from benchmarks.scale_model.link import Link
from benchmarks.scale_model.measurement import line
from benchmarks.scale_model.model import Cores, Prediction, Setup, Simulation
from benchmarks.scale_model.sheet import Sheet

FREE = Costs()
HERE = Costs(turn=60e-6, job=4e-6, own_turn=120e-6, own_job=2.5e-6, round_trip=80e-6)
LONG = 0.1
"""Seconds of a job that fills a batch."""


def run(setup: Setup, costs: Costs, jobs: list[float], seed: int = 0, believed: float | None = LONG) -> Prediction:
    return Simulation(setup, costs, seed, believed).run(jobs)


def endless(setup: Setup, costs: Costs, duration: float, kind: str = "constant", seed: int = 0) -> Prediction:
    return Simulation(setup, costs, seed, duration).endless(Durations(kind, duration, seed))


def test_jobs_that_cost_nothing_but_themselves_take_as_long_as_they_take() -> None:
    found = run(Setup(2, 2), FREE, [LONG] * 40)
    assert found.seconds == pytest.approx(10 * LONG)
    assert found.efficiency == pytest.approx(1)
    assert found.load == 0


def test_one_worker_pays_for_each_job_a_way_there_and_back() -> None:
    costs = Costs(turn=0.001, job=0.0001, own_turn=0.0005, own_job=0.0002, round_trip=0.002, handing=0.5)
    found = run(Setup(latency=0.003), costs, [LONG] * 4)
    handed_over = 0.5 * (0.001 + 0.0001) + 0.0025
    a_job = LONG + 0.0002 + 0.0005
    turn = 0.005 + 0.001 + 0.0001
    # The last turn brings nothing back, and is over when the server has it.
    last = 0.0025 + 0.001 + 0.5 * 0.0001
    assert found.seconds == pytest.approx(handed_over + 4 * a_job + 3 * turn + last)
    assert found.efficiency == pytest.approx(4 * LONG / found.seconds)


def test_a_server_that_is_asked_for_more_than_it_can_do_serves_one_turn_after_the_other() -> None:
    costs = Costs(turn=0.001, job=0.0005)
    found = endless(Setup(100), costs, LONG)
    assert found.rate == pytest.approx(1 / 0.0015, rel=0.01)
    assert found.load == pytest.approx(1, rel=0.01)


def test_a_server_that_has_slept_takes_longer() -> None:
    costs = Costs(turn=0.001, cold=Cold((0.0, 0.01, 0.02), (0.0, 0.0003, 0.0005)))
    assert [costs.cold.after(gap) for gap in (0.0, 0.005, 0.015, 1.0)] == pytest.approx([0.0, 15e-5, 4e-4, 5e-4])
    # Two jobs a turn, of which none takes so long that its worker tells of it.
    assert endless(Setup(), costs, 0.04).load == pytest.approx(0.0015 / (0.08 + 0.0015), rel=0.03)
    # One that has no time to sleep does not.
    assert endless(Setup(200), costs, 0.04).rate == pytest.approx(2000, rel=0.01)


def test_batches_are_as_large_as_the_engine_makes_them() -> None:
    costs = Costs(turn=0.001)
    # Seven jobs of 13 ms fill 100 ms; a turn costs one of the server's.
    found = endless(Setup(), costs, 0.013)
    assert found.efficiency == pytest.approx(7 * 0.013 / (7 * 0.013 + 0.001), rel=0.01)


def test_no_batch_is_more_than_the_fair_part_of_the_backlog() -> None:
    # Of eight jobs for two workers each gets two, then one at a time: nobody waits for another one's batch.
    found = run(Setup(2), FREE, [0.001] * 8, believed=0.001)
    assert found.seconds == pytest.approx(0.004)


def test_what_stands_behind_a_long_job_is_stolen_back_and_run_by_others() -> None:
    jobs = [1.0, *[0.004] * 100]
    found = run(Setup(2), FREE, jobs, believed=0.004)
    assert found.given_back > 0
    assert found.seconds == pytest.approx(1.0, abs=0.01)


def test_the_same_seed_gives_the_same_run_and_another_one_another() -> None:
    setup, jobs = Setup(4, 2, 0.001), Durations("Pareto", 0.005, 1).take(2000)
    first = run(setup, HERE, jobs, seed=5, believed=0.005)
    assert first == run(setup, HERE, jobs, seed=5, believed=0.005)
    assert first != run(setup, HERE, jobs, seed=6, believed=0.005)
    assert Durations("Pareto", 0.005, 1).take(2000) == jobs != Durations("Pareto", 0.005, 2).take(2000)


def test_more_latency_never_makes_jobs_go_faster() -> None:
    rates = [endless(Setup(8, latency=latency), HERE, 0.005).rate for latency in (0, 0.0002, 0.001, 0.005)]
    assert rates == sorted(rates, reverse=True)
    assert len(set(rates)) == len(rates)


def test_a_slower_server_never_makes_jobs_go_faster() -> None:
    rates = [
        endless(Setup(100), dataclasses.replace(HERE, turn=turn), 0.005).rate for turn in (0.0001, 0.0003, 0.001, 0.003)
    ]
    assert rates == sorted(rates, reverse=True)
    assert len(set(rates)) == len(rates)


def test_more_cores_cost_a_server_more_and_are_less_efficient() -> None:
    found = [endless(Setup(cores), HERE, 0.01) for cores in (10, 280, 1000)]
    assert [each.load for each in found] == sorted(each.load for each in found)
    efficiencies = [round(each.efficiency, 2) for each in found]
    assert efficiencies == sorted(efficiencies, reverse=True)
    assert efficiencies[-1] < efficiencies[0]
    assert found[-1].load == pytest.approx(1, rel=0.01)


def test_a_second_server_doubles_what_an_overloaded_one_does_and_does_nothing_for_one_that_is_bored() -> None:
    def gain(cores: int, duration: float) -> float:
        return endless(Setup(cores, servers=2), HERE, duration).rate / endless(Setup(cores), HERE, duration).rate

    assert gain(4000, 0.012) == pytest.approx(2, rel=0.02)
    assert gain(4, 0.012) == pytest.approx(1, rel=0.02)


@pytest.mark.slow
def test_more_cores_need_longer_jobs_and_two_servers_shorter_ones() -> None:
    durations = [enough(HERE, Setup(cores)) for cores in (2, 100, 2000)]
    assert durations == sorted(durations)
    # Alone on its server a worker needs no more than nine times what a job costs besides itself.
    assert durations[0] < 0.001
    # All turns of 2,000 cores must find a place in the server's time.
    assert durations[-1] == pytest.approx(0.9 * 2000 * 64e-6, rel=0.1)
    assert enough(HERE, Setup(2000, servers=2)) == pytest.approx(durations[-1] / 2, rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("cores", [2, 100, 500, 2000])
def test_jobs_that_are_long_enough_keep_the_cores_busy_and_those_that_are_not_do_not(cores: int) -> None:
    duration = enough(HERE, Setup(cores))
    assert steady(HERE, Setup(cores), duration).efficiency >= 0.9
    assert steady(HERE, Setup(cores), 0.8 * duration).efficiency < 0.9
    # Also where a batch holds one job only.
    assert all(steady(HERE, Setup(cores), max(duration, longer)).efficiency >= 0.9 for longer in (0.02, 0.053, 0.2))


def test_a_script_that_stands_for_several_takes_what_they_do_after_as_much_time_each() -> None:
    cold = Cold((0.0, 0.01), (0.0, 0.0004))
    assert cold.thinned(4).after(0.02) == pytest.approx(4 * cold.after(0.005))


def test_each_host_renews_its_lease_and_hears_of_all_others() -> None:
    costs = Costs(turn=1e-9, renewal=0.0001, lease=1e-6)
    # Six times in the ten seconds of a lease.
    assert endless(Setup(200), costs, 1.0).load == pytest.approx(200 * 0.6 * 0.0003, rel=0.05)
    assert endless(Setup(200, servers=2), costs, 1.0).load == pytest.approx(100 * 0.6 * 0.0002, rel=0.05)


@pytest.mark.parametrize("duration", [0.01, 0.2, 1.0])
def test_workers_that_stand_for_several_say_what_all_of_them_would(duration: float) -> None:
    costs = dataclasses.replace(HERE, renewal=0.0001, lease=3e-6)
    one_by_one, thinned = (steady(costs, Setup(64, 32), duration, most) for most in (2048, 512))
    assert thinned.rate == pytest.approx(one_by_one.rate, rel=0.03)
    assert thinned.load == pytest.approx(one_by_one.load, abs=0.03)


def test_cores_that_are_shared_are_waited_for() -> None:
    cores = Cores(2)
    assert [cores.start(0, 1.0), cores.start(0, 3.0), cores.start(0.5, 1.0)] == [0, 0, 1.0]
    # The one that was busy last is taken, and the gap of the other one stays for who comes earlier.
    assert cores.start(3.5, 1.0) == 3.5
    assert cores.start(2.5, 0.5) == 2.5


def test_a_link_passes_on_all_bytes_and_takes_its_time_for_each_way(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener, Link(tmp_path, tmp_path / "far.sock") as link:
        listener.bind(str(tmp_path / "far.sock"))
        listener.listen()
        link.latency = 0.2
        with socket.socket(socket.AF_UNIX) as near:
            near.settimeout(60)
            near.connect(link.url.removeprefix("unix://"))
            far = listener.accept()[0]
            with far:
                far.settimeout(60)
                began = time.monotonic()
                near.sendall(b"there")
                assert far.recv(100) == b"there"
                assert time.monotonic() - began >= 0.1
                far.sendall(b"back")
                assert near.recv(100) == b"back"
                assert time.monotonic() - began >= 0.2
                # More than any buffer holds: what is blocked goes on when it can.
                sent = os.urandom(3_000_000)
                writer = threading.Thread(target=near.sendall, args=(sent,), daemon=True)
                writer.start()
                far.setblocking(True)
                assert far.recv(len(sent), socket.MSG_WAITALL) == sent
                writer.join()
            assert near.recv(100) == b""


@pytest.mark.parametrize("kind", KINDS)
def test_durations_have_the_mean_that_they_are_given(kind: str) -> None:
    found = Durations(kind, 0.01, 3).take(200_000)
    assert sum(found) / len(found) == pytest.approx(0.01, rel=0.15)
    assert min(found) > 0


def test_a_line_through_points_that_lie_on_one_is_that_line() -> None:
    assert line([(x, 60 + 4 * x) for x in (1, 10, 50, 200, 1000)]) == pytest.approx((60, 4))


def test_a_sheet_is_a_table_of_a_page() -> None:
    sheet = Sheet("What", ["a", "b"], [["1", "2"]])
    assert sheet.markdown() == "What:\n\n| a | b |\n| ---: | ---: |\n| 1 | 2 |"
