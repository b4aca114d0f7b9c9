"""Inputs that travel in one job: each is answered as if it were alone."""

from __future__ import annotations

import pytest
from cli.mapped import Maps, lines, rows_of


@pytest.mark.parametrize("function", ["cancelled", "awaits_cancelled", "overdue"])
def test_errors_that_end_jobs_fail_only_the_input_for_which_the_function_raises_them(maps: Maps, function: str) -> None:
    many = [*map(str, range(500)), "bad", *map(str, range(500))]
    status, out, err = maps.run(f"functions:{function}", inputs=lines(*many))
    assert status == 1
    assert len(rows_of(out)) == 1000
    assert 'input 500 "bad"' in err


def test_the_last_inputs_do_not_wait_behind_a_long_one(maps: Maps) -> None:
    started = maps.start("functions:wait")
    started.give(*(f"slow{n}" for n in range(60)), "gate1", "gate2")
    started.inputs.close()
    maps.noted(lambda notes: {"+gate1", "+gate2"} <= {*notes}, "they do not run side by side")
    for name in ("gate1", "gate2"):
        (maps.folder / name).touch()
    started.process.stdin = None
    assert started.end()[0] == 0
