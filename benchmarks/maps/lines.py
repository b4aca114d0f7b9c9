"""Lines that take no time: how many a second, from the start of the command to its end, against GNU parallel."""

from __future__ import annotations

from benchmarks.harness import ROOT, WORKERS, Bench, Failed, in_turns
from benchmarks.maps.running import MAP, count, environment, folder, parallel, seconds
from benchmarks.rows import Row, ratio


def measure(bench: Bench) -> list[Row]:
    many, few = bench.size(100_000, 20_000), bench.size(2_000, 300)
    here = folder(bench)
    given, less, output = (here / name for name in ("lines", "less", "rows"))
    given.write_text("".join(f"{number}\n" for number in range(many)))
    less.write_text("".join(f"{number}\n" for number in range(few)))

    def ours() -> float:
        taken = seconds([*MAP, "benchmarks.apps.mapped:same"], given, output, cwd=ROOT, env=environment(bench))
        if count(output) != many:
            raise Failed(f"{count(output)} rows for {many} lines")
        return many / taken

    def theirs() -> float:
        return few / seconds([parallel(), "-j", str(WORKERS), "echo"], less, output)

    mine, others = in_turns(ours, theirs, bench.rounds, "lines/s")
    return [ratio(f"map over {many:,} trivial lines, against GNU parallel", mine, others, 50, 200)]
