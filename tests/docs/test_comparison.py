"""What the comparison says of speed is what docs/performance.md has printed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
MEASURED = re.compile(r"\d+,\d{3}(?:,\d{3})*|\d+\.\d+(?= times)|\d+(?= jobs a second)")
FIGURES = sorted(set(MEASURED.findall((DOCS / "comparison.md").read_text())))


def test_the_comparison_has_figures() -> None:
    assert len(FIGURES) >= 10


@pytest.mark.parametrize("figure", FIGURES)
def test_a_figure_of_the_comparison_is_one_that_was_printed(figure: str) -> None:
    assert re.search(rf"(?<![\d,.]){re.escape(figure)}(?![\d,])", (DOCS / "performance.md").read_text())
