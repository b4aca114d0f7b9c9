"""The ratio of two sides that were measured in turns, with figures that nobody measured."""

from __future__ import annotations

import pytest

from benchmarks.rows import Spread, by_rounds


def test_a_slow_round_changes_nothing_of_the_ratio() -> None:
    ours, reference = Spread([2.0, 6.0, 2.2]), Spread([1.0, 3.0, 1.1])
    assert by_rounds(ours, reference).values == pytest.approx([2.0, 2.0, 2.0])


def test_a_reference_that_is_measured_last_too_counts_as_the_mean_of_its_neighbours() -> None:
    ours, reference = Spread([2.0, 6.0]), Spread([1.0, 3.0, 5.0])
    assert by_rounds(ours, reference).values == pytest.approx([1.0, 1.5])


def test_sides_without_common_rounds_are_held_against_each_other_by_their_medians() -> None:
    ours, reference = Spread([4.0]), Spread([1.0, 2.0, 9.0])
    assert by_rounds(ours, reference).values == pytest.approx([2.0])
