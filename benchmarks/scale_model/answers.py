"""What the model is asked: how far one server reaches, and what the next one brings."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from benchmarks.rows import number
from benchmarks.scale_model.costs import Costs
from benchmarks.scale_model.durations import Durations
from benchmarks.scale_model.model import Prediction, Setup, Simulation
from benchmarks.scale_model.sheet import Sheet
from tempotask.pool.pace import BUDGET

EFFICIENT = 0.9
"""A server is enough when cores do nothing but jobs for so much of their time."""
LONE = 1.05 * BUDGET / 2
"""Seconds of a job that is just too long for a batch of two: of all short jobs these need the most turns."""
SHORTEST, STEPS = 1e-6, 5
MODELLED = 4096
"""So many workers are modelled one by one."""
LARGE = 128
"""Cores of a host, where there are so many."""
NEAR, FAR = 0.0002, 0.001
"""Seconds that a network within a rack, and one between buildings, adds to a round trip."""


def steady(costs: Costs, setup: Setup, duration: float, most: int = MODELLED) -> Prediction:
    """In the middle of a backlog without end. Of more than `most` workers each that is modelled stands for several: its
    scripts take the server as long as those of all of them."""
    hosts = max(1, setup.hosts // math.ceil(setup.workers / most))
    thinned = dataclasses.replace(setup, hosts=hosts)
    # What the hosts ask of a server, and what each of them is told, grow with their number.
    times = setup.hosts / hosts
    fed = dataclasses.replace(
        costs,
        turn=costs.turn * times,
        job=costs.job * times,
        cold=costs.cold.thinned(times),
        say=costs.say * times,
        renewal=costs.renewal * times,
        lease=costs.lease * times**2,
    )
    simulation = Simulation(thinned, fed, believed=duration + costs.own_job)
    found = simulation.endless(Durations("constant", duration), turns=3)
    return dataclasses.replace(found, rate=found.rate * times)


def enough(costs: Costs, setup: Setup) -> float:
    """From which duration on jobs, all as long, keep the cores efficient; to 5 % or so."""

    def efficient(duration: float) -> bool:
        return steady(costs, setup, duration).efficiency >= EFFICIENT

    if setup.workers / setup.servers * (costs.turn + costs.job) < LONE and efficient(LONE):
        low, high, steps = SHORTEST, LONE, STEPS + 3
    else:
        # As long as the turns of all fill the server's time, or as the way there and back asks for.
        served = EFFICIENT * setup.workers / setup.servers * (costs.turn + costs.job)
        alone = (costs.own_turn + costs.own_job + costs.round_trip + setup.latency + costs.turn + costs.job) * 9
        low, steps = max(LONE, 0.9 * max(served, alone)), STEPS
        high = 1.5 * low
        while not efficient(high):
            low, high = high, 1.5 * high
    for _ in range(steps):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if efficient(middle) else (middle, high)
    return high


def reach(costs: Costs, numbers: Sequence[int]) -> Sheet:
    """From which duration on one server is enough for so many cores, and more servers are."""
    asked = [(1, NEAR), (1, FAR), (2, NEAR), (4, NEAR)]
    sheet = Sheet(
        f"Jobs at least so long keep cores {EFFICIENT:.0%} efficient",
        ["cores", *(f"{_servers(servers)}, +{seconds(latency)}" for servers, latency in asked)],
    )
    for cores in numbers:
        durations = [
            seconds(enough(costs, _hosts(cores, latency, servers))) if servers <= cores else ""
            for servers, latency in asked
        ]
        sheet.rows.append([f"{cores:,}", *durations])
    return sheet


def next_server(costs: Costs, numbers: Sequence[int]) -> Sheet:
    """What more servers bring, each with its part of the queues and of the hosts."""
    sheet = Sheet(
        "Jobs a second (efficiency) with more servers, each with its part of the queues",
        ["cores", "a job", "1 server", "2 servers", "4 servers", "8 servers", "2 against 1"],
    )
    for cores in numbers:
        for duration in (0.0001, 0.001, 0.01, 0.1):
            found = [steady(costs, _hosts(cores, NEAR, servers), duration) for servers in (1, 2, 4, 8)]
            shown = [f"{number(each.rate)} ({each.efficiency:.2f})" for each in found]
            sheet.rows.append([f"{cores:,}", seconds(duration), *shown, f"{found[1].rate / found[0].rate:.2f}"])
    return sheet


def grid(costs: Costs, hosts: Sequence[int], cores: Sequence[int]) -> Sheet:
    """What one server does for hosts of all sizes."""
    durations = (0.001, 0.01, 0.1, 1.0)
    sheet = Sheet(
        f"One server, +{seconds(NEAR)}: jobs a second, efficiency, the server's load",
        ["hosts", "cores each", *(f"jobs of {seconds(duration)}" for duration in durations)],
    )
    for each in hosts:
        for size in cores:
            found = [steady(costs, Setup(each, size, NEAR), duration) for duration in durations]
            shown = [f"{number(round(p.rate))}, {p.efficiency:.2f}, {p.load:.0%}" for p in found]
            sheet.rows.append([f"{each:,}", f"{size}", *shown])
    return sheet


def answers(costs: Costs, quick: bool) -> list[Sheet]:
    """All tables."""
    numbers = (2, 8, 32, 128, 512, 2048, 8192, 32_768, 128_000)
    return [
        reach(costs, numbers[:5] if quick else numbers),
        next_server(costs, (32, 512) if quick else (32, 512, 8192)),
        grid(costs, (1, 10) if quick else (1, 10, 100, 1000), (1, 8, 32, 128)),
    ]


def seconds(value: float) -> str:
    """As people write durations."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value * 1e6:.3g} µs"


def _hosts(cores: int, latency: float, servers: int) -> Setup:
    size = max(1, min(LARGE, cores // servers))
    return Setup(cores // size, size, latency, servers)


def _servers(count: int) -> str:
    return f"{count} server" if count == 1 else f"{count} servers"
