"""The guard of the benchmarks' ratios, with figures that nobody measured."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from benchmarks.guard import AGAIN, CALM, GUARDED, ROUNDS, Held, Measure, hold, keep
from benchmarks.harness import Failed
from benchmarks.kept import PATH, Kept
from benchmarks.rows import Row, Spread

KEPT = Kept({"cores": 2}, {"limit": {"pace": 0.4}, "idle_latency": {"time": 1.6}})


def row(what: str, figure: float) -> Row:
    """A pace is better the higher it is, a time the lower."""
    return Row(what, Spread([figure]), figure, None, None, not what.startswith("time"), Spread([1.0]))


def measured(*figures: float, what: str = "pace", asked: list[int] | None = None) -> Measure:
    """One figure at each look."""
    left = iter(figures)

    def measure(name: str, rounds: int) -> list[Row]:
        if asked is not None:
            asked.append(rounds)
        return [row(what, next(left))]

    return measure


def held(measure: Measure, name: str = "limit", shares: Iterable[float] = (1.0, 1.0)) -> Held:
    left = iter(shares)
    (only,) = hold(KEPT, [name], measure, lambda: next(left))
    return only


@pytest.mark.parametrize("figure", [0.4, 0.31, 0.8])
def test_a_ratio_that_is_equal_or_better_or_a_little_worse_holds_at_the_first_look(figure: float) -> None:
    assert held(measured(figure)).verdict == "yes"


def test_a_ratio_that_has_dropped_by_more_than_a_quarter_is_missed_after_a_longer_look() -> None:
    asked: list[int] = []
    found = held(measured(0.29, 0.28, asked=asked))
    assert (found.missed, found.verdict, found.row) == (True, "NO", row("pace", 0.28))
    assert asked == [ROUNDS, AGAIN]
    assert AGAIN > ROUNDS


def test_of_a_time_more_is_worse() -> None:
    assert held(measured(1.9, what="time"), "idle_latency").verdict == "yes"
    assert held(measured(0.8, what="time"), "idle_latency").verdict == "yes"
    assert held(measured(2.1, 2.1, what="time"), "idle_latency").missed


def test_a_miss_that_a_longer_look_does_not_find_again_is_none() -> None:
    assert held(measured(0.1, 0.39)).verdict == "yes"


@pytest.mark.parametrize("shares", [(CALM / 2,), (1.0, CALM / 2)])
def test_a_miss_does_not_count_while_others_are_at_work_and_is_not_taken_for_a_ratio_that_holds(
    shares: tuple[float, ...],
) -> None:
    found = held(measured(0.1, 0.1), shares=shares)
    assert (found.missed, found.verdict) == (False, "machine busy")


@pytest.mark.parametrize("share", [1.0, CALM / 2])
def test_a_ratio_that_was_not_kept_and_one_that_is_measured_no_more_are_missed(share: float) -> None:
    found = {each.what: each for each in hold(KEPT, ["limit"], measured(0.4, 0.4, what="renamed"), lambda: share)}
    assert (found["pace"].missed, found["pace"].verdict) == (True, "NOT MEASURED")
    assert (found["renamed"].missed, found["renamed"].verdict) == (True, "NOT KEPT")


def test_rows_that_have_no_reference_and_tails_are_not_guarded() -> None:
    alone = Row("alone", Spread([1.0]), 1.0, None, None, True)
    (found,) = hold(KEPT, ["limit"], lambda name, rounds: [alone, row("time, p99", 9.0), row("pace", 0.4)], lambda: 1.0)
    assert found.what == "pace"


def test_what_is_kept_holds_against_itself_when_it_is_read_again(tmp_path: Path) -> None:
    def measure(name: str, rounds: int) -> list[Row]:
        return [row(f"pace of {name}", 0.123), row(f"time of {name}", 1.5)]

    keep({"cores": 2}, measure).write(tmp_path / "kept.json")
    again = Kept.read(tmp_path / "kept.json")
    assert again.machine == {"cores": 2, "rounds": AGAIN}
    assert [each.loss for each in hold(again, GUARDED, measure, lambda: 1.0)] == [0.0] * 2 * len(GUARDED)


def test_a_file_that_is_not_there_or_torn_is_named_with_the_command_that_writes_it(tmp_path: Path) -> None:
    with pytest.raises(Failed, match=r"kept\.json.*--keep"):
        Kept.read(tmp_path / "kept.json")
    (tmp_path / "kept.json").write_text('{"machine": {}')
    with pytest.raises(Failed, match=r"kept\.json.*--keep"):
        Kept.read(tmp_path / "kept.json")


def test_the_file_in_the_repository_keeps_a_ratio_of_every_benchmark_that_is_guarded() -> None:
    kept = Kept.read(PATH).ratios
    assert set(kept) == set(GUARDED)
    assert all(kept.values())
    assert {"at", "commit", "cores", "processor", "server", "python", "share"} <= set(Kept.read(PATH).machine)
