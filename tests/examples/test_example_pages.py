"""The page of each example does as it is typed, and prints what it shows."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from docs.reader import Reader
from examples.conftest import EXAMPLES

PAGES = sorted(page.parent.name for page in EXAMPLES.glob("*/README.md"))
PORT = "8000"
"""That of the pages; the test takes one that is free."""
SCREEN = 60
"""Lines that a page has at most."""


SLOWER = {"logs"}
"""Their pages take more than five seconds."""


@pytest.mark.parametrize(
    "example", [pytest.param(name, marks=pytest.mark.slow) if name in SLOWER else name for name in PAGES]
)
def test_its_page_works_as_it_is_typed(
    example: str, copied: Callable[[str], Path], reader_environment: dict[str, str]
) -> None:
    reader = Reader(copied(example), reader_environment)
    try:
        reader.read((EXAMPLES / example / "README.md").read_text().replace(PORT, _free_port()))
        reader.close()
    finally:
        reader.kill()


def _free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return str(taken.getsockname()[1])


@pytest.mark.parametrize("example", PAGES)
def test_its_page_is_a_screen_and_all_on_it_is_run_or_compared(example: str) -> None:
    page = (EXAMPLES / example / "README.md").read_text()
    fences = re.findall(r"^```(.*)$", page, re.MULTILINE)
    assert set(fences[::2]) <= {"python", "sh", "text"}
    assert set(fences[1::2]) == {""}
    assert page.count("\n") <= SCREEN


def test_every_example_is_named_on_the_first_page() -> None:
    named = re.findall(r"^\| \[(\w+)\]\(([\w/.]+)\)", (EXAMPLES / "README.md").read_text(), re.MULTILINE)
    assert sorted(name for name, _ in named) == sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir())
    assert all((EXAMPLES / link).exists() for _, link in named)
