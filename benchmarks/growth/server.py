"""What the server has done so far, by its own account."""

from __future__ import annotations

import operator
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import redis


class Work(NamedTuple):
    """What the server did in some time, or for one job."""

    scripts: float
    """Microseconds inside scripts, with all that they call, by the clock on the wall: where more processes want to
    run than there are cores, the server waits for its own in some of that."""
    processor: float
    """Microseconds of its processor time: reading, writing and waiting for clients too."""
    commands: float
    """Those inside scripts too."""
    wire: float
    """Bytes, both ways."""
    seconds: float

    def less(self, other: Work) -> Work:
        return Work(*map(operator.sub, self, other))

    def per(self, number: float) -> Work:
        return Work(*(each / number for each in self))


def scripts(client: redis.Redis) -> int:
    """Microseconds that the server has spent inside scripts."""
    stats: dict[str, Any] = client.info("commandstats")
    return int(stats.get("cmdstat_evalsha", {}).get("usec", 0))


def look(client: redis.Redis) -> Work:
    """All that the server has done since its counts began."""
    info: dict[str, Any] = client.info("commandstats", "cpu", "stats")
    return Work(
        scripts=info.get("cmdstat_evalsha", {}).get("usec", 0),
        processor=(info["used_cpu_user"] + info["used_cpu_sys"]) * 1e6,
        commands=info["total_commands_processed"],
        wire=info["total_net_input_bytes"] + info["total_net_output_bytes"],
        seconds=time.monotonic(),
    )


def spent(client: redis.Redis, work: Callable[[], object]) -> Work:
    """What the server did for this, without what it costs to look."""
    first, second = look(client), look(client)
    work()
    return look(client).less(second).less(second.less(first))
