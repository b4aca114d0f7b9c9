"""Makes the pictures of this example, always the same: 60, one of them cut short, and a text in disguise."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

FOLDER = Path("pictures")
NUMBER = 60


def picture(number: int) -> Image.Image:
    """A picture of its own for each number."""
    slope = Image.linear_gradient("L")
    bands = [slope.rotate(3 * number), Image.radial_gradient("L"), slope.rotate(-7 * number)]
    return Image.merge("RGB", bands).resize((1600, 1200))


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for number in range(NUMBER):
        picture(number).save(FOLDER / f"{number:03}.jpg")
    whole = (FOLDER / "040.jpg").read_bytes()
    (FOLDER / "040.jpg").write_bytes(whole[: len(whole) // 2])
    (FOLDER / "readme.jpg").write_text("The picture has been moved.\n")
    print(f"{NUMBER} pictures and a text in {FOLDER}/; two of the {NUMBER + 1} are broken")


if __name__ == "__main__":
    main()
