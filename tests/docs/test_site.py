"""The site that scripts/docs builds, and the same pages as the repository shows them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from docs.reader import BLOCK

import tempotask

ROOT = Path(__file__).parents[2]
PAGES = sorted(path for path in (ROOT / "docs").rglob("*.md"))
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)")
LOADED = re.compile(r'<(?:script|img|iframe)[^>]+src="(https?:)?//|<link[^>]+href="(https?:)?//[^>]+stylesheet|@import')


def build(root: Path, site: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [root / "scripts" / "docs", site], capture_output=True, text=True, timeout=200, check=False
    )  # fmt: skip


def headings(page: Path) -> set[str]:
    """The anchors that a repository's view gives a page."""
    lines = re.findall(r"^#+ (.+)$", BLOCK.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in lines}


@pytest.mark.slow
def test_the_site_is_built_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    built = build(ROOT, tmp_path)
    assert built.returncode == 0, built.stderr
    assert built.stdout + built.stderr == ""
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > len(PAGES)  # and the page for what is not there
    assert not [page for page in pages if LOADED.search(page.read_text())]
    text = (tmp_path / "reference" / "errors.html").read_text()
    assert "Two tasks were registered under the same queue and name." in text


@pytest.mark.slow
@pytest.mark.parametrize("wrong", ["[a page](nowhere.md)", "[a heading](life.md#nowhere)", "::: tempotask.Nothing"])
def test_a_site_with_a_mistake_is_not_built_and_the_mistake_is_named(wrong: str, tmp_path: Path) -> None:
    for name in ("docs", "scripts"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for name in ("mkdocs.yml", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("tempotask", ".venv"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "scripts" / "venv").write_text("#!/bin/sh\n")  # nobody makes our environment anew from here
    with (tmp_path / "docs" / "events.md").open("a") as page:
        page.write(f"\n{wrong}\n")
    built = build(tmp_path, tmp_path / "site")
    assert built.returncode != 0
    assert re.search("nowhere|Nothing", built.stderr)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_to_a_page_and_a_heading_in_the_repository_too(page: Path) -> None:
    for link, anchor in LINK.findall(BLOCK.sub("", page.read_text())):
        if "://" in link:
            continue
        target = page.parent / link if link else page
        assert target.exists(), link
        assert not anchor or anchor in headings(target), f"{link}#{anchor}"


@pytest.mark.parametrize("name", tempotask.__all__)
def test_every_public_name_has_its_place_in_the_reference(name: str) -> None:
    places = [page for page in PAGES if re.search(rf"^::: tempotask\.{name}$", page.read_text(), re.MULTILINE)]
    assert len(places) == 1
