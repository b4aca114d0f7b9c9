"""What the pages for readers show runs as it is written, and prints what it is said to."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from docs.reader import Reader, environment
from docs.shape import looks_like

DOCS = Path(__file__).parents[2] / "docs"
INSIDE = {"design", "internals"}
"""Pages for those who work on it; they have nothing to type."""
PAGES = sorted(path.stem for path in DOCS.glob("*.md") if path.stem not in INSIDE)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", PAGES)
def test_everything_on_the_page_works_as_it_is_written(
    page: str, short_path: Path, start_server: Callable[..., Any]
) -> None:
    reader = Reader(short_path, environment(start_server().url))
    try:
        reader.read((DOCS / f"{page}.md").read_text())
        reader.close()
    finally:
        reader.kill()


@pytest.mark.parametrize("page", PAGES)
def test_every_block_on_the_page_is_run_or_compared_or_a_picture(page: str) -> None:
    fences = re.findall(r"^```(.*)$", (DOCS / f"{page}.md").read_text(), re.MULTILINE)
    assert set(fences[::2]) <= {"python", "sh", "text", ""}
    assert set(fences[1::2]) <= {""}


@pytest.mark.parametrize(
    ("seen", "shown", "same"),
    [
        ("abc-0   0.17", "abc-0 0.2", True),
        ("0123456789abcde-7", "zyxwvutsrqponml-12", True),
        ("['a', 'b']", '["a", "b"]', True),
        ("a\nb\nc\nd", "a\n…\nd", True),
        ("a\nd", "a\n…\nd", True),
        ("a\nb\nc", "a\n…\nd", False),
        ("failed: it broke", "failed: …", True),
        ("completed", "failed", False),
        ("True", "False", False),
        ("a\nb", "a", False),
    ],
)
def test_what_is_printed_is_compared_by_its_shape(seen: str, shown: str, same: bool) -> None:
    assert looks_like(seen, shown) is same


@pytest.mark.parametrize(
    "page",
    [
        "```sh\nfalse\n```",
        "```sh\necho a\n```\n```text\nb\n```",
        "```python\n1 + 1  # → 'a'\n```",
        "```python\nint('a')\n```",
        "```python\nprint('a')\n```\n```text\nb\n```",
    ],
)
def test_a_page_that_is_wrong_is_found_out(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("docs.reader.LONG", 5.0)
    reader = Reader(tmp_path, environment(""))
    try:
        with pytest.raises(AssertionError):
            reader.read(page + "\n")
    finally:
        reader.kill()


def test_a_page_that_is_right_passes(tmp_path: Path) -> None:
    reader = Reader(tmp_path, environment(""))
    page = """
```python
# hello.py
print("hello", 17)
```
```sh
python hello.py
```
```text
hello 42
```
```python
import asyncio
await asyncio.sleep(0, "slept")  # → "slept"
int("a")  # → ValueError: …
print("at the prompt")
```
```text
at the …
```
```sh
false  # exits with 1
cat &
```
"""
    try:
        reader.read(page)
        reader.close()
    finally:
        reader.kill()
