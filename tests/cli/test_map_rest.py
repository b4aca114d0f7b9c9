"""`tempotask map` rests while its workers have enough to do, and never lets them run dry."""

from __future__ import annotations

import redis
from cli.mapped import Maps, lines

NAP = """
import time

def nap(line: str) -> None:
    time.sleep(0.06)
"""


def listens(server: redis.Redis) -> int:
    """How often somebody has begun to listen to a list so far."""
    stats = server.info("commandstats")
    assert isinstance(stats, dict)
    return int(stats["cmdstat_blpop"]["calls"]) if "cmdstat_blpop" in stats else 0


def test_a_map_hears_of_many_answers_in_one_go(maps: Maps, server_url: str) -> None:
    (maps.folder / "naps.py").write_text(NAP)
    with redis.Redis.from_url(server_url) as server:
        before = listens(server)
        status, out, err = maps.run("naps:nap", inputs=lines(*range(200)))
        assert (status, len(out.splitlines())) == (0, 200), err
        # Each takes so long that it is answered by itself. Of the last ones the map hears one by one.
        assert listens(server) - before < 130
