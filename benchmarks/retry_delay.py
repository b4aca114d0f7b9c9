"""How long after a try that failed does the next one begin, with `retry_delay=0.3`?"""

from __future__ import annotations

from benchmarks.harness import Bench, Failed
from benchmarks.rows import Row, Spread, at_most


def measure(bench: Bench) -> list[Row]:
    count = bench.size(50, 10)
    with bench.project("timely") as project:
        project.supervisor().ready()
        project.wait_idle()
        pauses = []
        for _ in range(count):
            project.producer.enqueue(name="again", queue="work").result(timeout=60)
        tries: dict[str, list[float]] = {}
        for line in (project.folder / "ledger").read_text().splitlines():
            id, _, at = line.split()
            tries.setdefault(id, []).append(float(at))
        for begun in tries.values():
            if len(begun) != 2:
                raise Failed(f"{len(begun)} tries where there should be two")
            pauses.append(begun[1] - begun[0])
    return [
        at_most("retry_delay=0.3: from try to try, the longest", Spread([max(pauses)], "s"), 0.35, 0.31),
        Row("and the shortest", Spread([min(pauses)], "s"), min(pauses), 0.3, 0.3, True, unit="s"),
    ]
