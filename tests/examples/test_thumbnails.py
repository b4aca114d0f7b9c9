"""The example with pictures: the broken ones fail alone, and nothing is left out or half done."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from examples.conftest import Shell
from PIL import Image

BROKEN = {"040.jpg", "readme.jpg"}


def thumbnails(folder: Path) -> set[str]:
    """The names of the thumbnails that are there, each whole and as large as it is to be."""
    found = set()
    for path in (folder / "small").glob("*.jpg"):
        with Image.open(path) as image:
            image.load()
            assert max(image.size) == 160
        found.add(path.name)
    return found


def test_a_run_that_is_killed_is_taken_up_by_the_next_and_only_broken_pictures_are_left(
    copied: Callable[[str], Path], shell: Shell
) -> None:
    folder = copied("thumbnails")
    shell.run(folder, "python", "make_pictures.py")
    pictures = {path.name for path in (folder / "pictures").iterdir()}

    killed = shell.start(folder, "python", "thumbnails.py")
    assert killed.stdout is not None
    assert killed.stdout.readline().startswith("20 of")
    killed.kill()
    killed.communicate()
    # Workers that were in the middle of a picture may yet finish it.
    assert thumbnails(folder) <= pictures - BROKEN

    *_, told, first, second = shell.run(folder, "python", "thumbnails.py", status=1)
    assert told.endswith("2 broken")
    assert first.startswith("  pictures/040.jpg: OSError: image file is truncated")
    assert second.startswith("  pictures/readme.jpg: PIL.UnidentifiedImageError")
    assert thumbnails(folder) == pictures - BROKEN
    assert shell.run(folder, "tempotask", "check", "--namespace", "thumbnails")[-1].endswith("all is right")
