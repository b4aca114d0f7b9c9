"""The model's command: searches all scenarios with all rules, then has each rule left out and shows what goes wrong."""

from __future__ import annotations

import gc
import sys

import click

from model.rules import RULES, Part, Rule
from model.scenarios import SCENARIOS, Scenario
from model.search import Found, Search
from model.starving import starves

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
MOST = 5_000_000
STARVING = "a busy queue beside a marked job"


def search(scenario: Scenario, most: int = MOST) -> Found:
    """All states of a scenario."""
    # Millions of tuples, and no cycles: the collector would do nothing but look at them.
    gc.collect()
    gc.disable()
    return Search(scenario.setting, fallbacks=not scenario.prompt).run(most)


def show(trace: list[str]) -> None:
    """A trace, one move a line."""
    for number, words in enumerate(trace, 1):
        click.echo(f"      {number:2}. {words}")


def holds(scenario: Scenario) -> tuple[bool, int]:
    """Searches a scenario with all rules, and says so. Whether nothing was violated; how many states there are."""
    found = search(scenario)
    told = f"{found.states:>9,} states  depth {found.depth:>3}  {found.seconds:>6.1f} s  {scenario.name}"
    click.echo(f"{told}: {found.wrong or 'no violation'}")
    show(found.trace)
    return not found.wrong, found.states


def breaks(rule: Rule, part: Part, traces: bool) -> bool:
    """Searches a scenario with a part of a rule left out. Whether something goes wrong then."""
    if part.scenario == STARVING:
        wrong, trace, states = starves(part.lacks)
    else:
        found = search(BY_NAME[part.scenario].without(*part.lacks))
        wrong, trace, states = found.wrong, found.trace, found.states
    told = "; ".join(part.lacks)
    click.echo(f"rule {rule.number:>2} without “{told}” ({part.scenario}, {states:,} states)")
    click.echo(f"      {wrong}, after {len(trace)} moves" if wrong else "      NOTHING goes wrong")
    if traces:
        show(trace)
    return bool(wrong)


@click.command(help=__doc__)
@click.option(
    "--scenario", "names", multiple=True, help="Only this scenario, with all rules. May be given several times."
)
@click.option("--rule", "numbers", multiple=True, type=int, help="Only leave out this rule.")
@click.option("--trace", is_flag=True, help="Show every move that leads to what goes wrong without a rule.")
def main(names: tuple[str, ...], numbers: tuple[int, ...], trace: bool) -> None:
    """Exits with 1 on a violation, or when a rule can be left out and nothing goes wrong; with 2 on bad use."""
    if unknown := [name for name in names if name not in BY_NAME]:
        raise click.UsageError(f"there is no scenario {unknown[0]!r}; there are: {', '.join(BY_NAME)}")
    if missing := [number for number in numbers if number not in {rule.number for rule in RULES}]:
        raise click.UsageError(f"there is no rule {missing[0]}; there are 1 to {len(RULES)}")
    well, states = True, 0
    for scenario in SCENARIOS if not numbers and not names else [BY_NAME[name] for name in names]:
        held, number = holds(scenario)
        well, states = held and well, states + number
    if not names and not numbers:
        wrong, _, _ = starves(())
        click.echo(f"{STARVING}: {wrong or 'no violation'}")
        well = well and not wrong
    if states:
        click.echo(f"{states:>9,} states in all")
    for rule in RULES if not names or numbers else ():
        if numbers and rule.number not in numbers:
            continue
        for part in rule.parts:
            well = breaks(rule, part, trace) and well
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()
