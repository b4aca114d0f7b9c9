"""How far does one server reach, on many hosts, and what does the next one bring?

A model says (`scale_model/`), with what turns and jobs cost on this machine. It is held against real runs here: up to
eight supervisors behind a link with latency. Here two cores carry them all, so the jobs of these runs sleep.

`python -m benchmarks.scale` prints the answers alone; with `--markdown`, for a page.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from rich.console import Console

from benchmarks.harness import Bench
from benchmarks.rows import Row, Spread, at_most, told
from benchmarks.scale_model.answers import answers
from benchmarks.scale_model.comparison import Case, compare
from benchmarks.scale_model.costs import PAUSE, Costs
from benchmarks.scale_model.measurement import SIZES, Sample, measured
from benchmarks.scale_model.sheet import Sheet


def costs_sheet(costs: Costs, busy: Sequence[Sample], rested: Sequence[Sample]) -> Sheet:
    """What the model is fed, beside what it was taken from."""
    sheet = Sheet(
        "Microseconds of a turn, by jobs in its batch: measured / as the model has it",
        ["jobs", "script (commandstats)", "server", f"server after {1000 * PAUSE:.0f} ms", "worker and wire"],
    )
    for size, one, other in zip(SIZES, busy, rested, strict=True):
        server = costs.turn + costs.job * size
        worker = costs.own_turn + costs.round_trip + costs.own_job * size
        pairs = ((one.server, server), (other.server, server + costs.cold.after(PAUSE)), (other.worker, worker))
        shown = [f"{1e6 * measured:,.0f} / {1e6 * modelled:,.0f}" for measured, modelled in pairs]
        sheet.rows.append([f"{size:,}", f"{1e6 * one.script:,.0f}", *shown])
    return sheet


def rows_of(case: Case) -> list[Row]:
    """Measured against predicted."""
    rate, load = Spread([case.predicted.rate], "jobs/s"), Spread([case.predicted.load * 100], "%")
    return [
        told(f"{case}: measured / predicted", case.rate, rate),
        told(f"{case}: the server's load", case.load, load),
    ]


def measure(bench: Bench) -> list[Row]:
    costs, *samples = measured(bench, bench.size(300, 100))
    cases = list(compare(bench, costs))
    where = "network namespaces" if cases[0].apart else "groups of processes"
    what = f"of {len(cases)} runs on 1 to {cases[-1].hosts} hosts ({where}), largest |prediction / measured - 1|"
    rows = [
        at_most(f"{what} of jobs a second", Spread([max(case.error for case in cases)]), 0.15, 0.05),
        at_most(f"{what} of the server's load", Spread([max(case.load_error for case in cases)]), 0.15, 0.05),
    ]
    # A link that was busy most of the time would be what was measured.
    linked = Spread([max(run.link for case in cases for run in case.runs) * 100], "%")
    rows.append(Row("of a core, the link at most", linked, linked.median, None, None, False))
    rows += [row for case in cases for row in rows_of(case)]
    show([costs_sheet(costs, *samples), *answers(costs, bench.quick)], markdown=False)
    return rows


def show(sheets: list[Sheet], *, markdown: bool) -> None:
    console = Console()
    for sheet in sheets:
        if markdown:
            print(sheet.markdown(), end="\n\n")
        else:
            console.print(sheet.table())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description="How far does one server reach?")
    parser.add_argument("--quick", action="store_true", help="fewer cores: to see that it works")
    parser.add_argument("--markdown", action="store_true", help="tables for a page")
    arguments = parser.parse_args()
    with Bench(quick=arguments.quick) as bench:
        costs, *samples = measured(bench, bench.size(300, 100))
    show([costs_sheet(costs, *samples), *answers(costs, arguments.quick)], markdown=arguments.markdown)


if __name__ == "__main__":
    main()
