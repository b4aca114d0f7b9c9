"""What the pages for readers show runs as it is written, and prints what it is said to."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from docs.reader import BLOCK, Reader, environment
from docs.shape import looks_like

DOCS = Path(__file__).parents[2] / "docs"
INSIDE = {"design", "internals"}
"""Pages for those who work on it; they have nothing to type."""
PAGES = sorted(path.stem for path in DOCS.glob("*.md") if path.stem not in INSIDE)
EMBEDDED = {"index", "batches"}
"""Pages for those who have no server; the others are read with one."""
LEFT_OUT = {"arrays": 1, "index": 1, "services": 2}
"""How many blocks of a page are not run: they install something, or take what a test has not."""


@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", PAGES)
def test_everything_on_the_page_works_as_it_is_written(
    page: str, short_path: Path, start_server: Callable[..., Any]
) -> None:
    reader = Reader(short_path, environment(None if page in EMBEDDED else start_server().url))
    try:
        reader.read((DOCS / f"{page}.md").read_text())
        reader.close()
    finally:
        reader.kill()


@pytest.mark.parametrize("page", PAGES)
def test_every_block_on_the_page_is_run_or_compared_or_a_picture(page: str) -> None:
    text = (DOCS / f"{page}.md").read_text()
    fences = re.findall(r"^```(.*)$", text, re.MULTILINE)
    others = {"conf", "dockerfile", "ini"} if page == "services" else set()
    assert set(fences[::2]) <= {"python", "sh", "text", ""} | others
    assert set(fences[1::2]) <= {""}
    assert len(BLOCK.findall(text)) == len(fences) / 2


@pytest.mark.parametrize("page", PAGES)
def test_blocks_that_are_not_run_are_few_and_say_why(page: str) -> None:
    text = (DOCS / f"{page}.md").read_text()
    reasons = [why_not for why_not, _, _ in BLOCK.findall(text) if why_not]
    assert len(reasons) == LEFT_OUT.get(page, 0)
    assert text.count("not run:") == len(reasons), "a comment stands apart from its block"


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
<!-- not run: it would be wrong -->
```sh
false
```
"""
    try:
        reader.read(page)
        reader.close()
    finally:
        reader.kill()
