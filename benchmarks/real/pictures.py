"""Making thumbnails of photographs, or of what is as hard to decode: many shapes in many colours."""

from __future__ import annotations

import hashlib
import io
import random
from pathlib import Path

from PIL import Image, ImageDraw

DIFFERENT = 20
"""So many pictures are drawn; each is wanted in many widths."""


def make(folder: Path, count: int, size: int) -> list[list[str | int]]:
    """The path of a picture of that width, and the width of a thumbnail, for each job."""
    chance = random.Random(size)
    paths = [draw(folder / f"{size}-{number}.jpg", size, chance) for number in range(DIFFERENT)]
    return [[paths[number % DIFFERENT], size // 4 + number // DIFFERENT % 64] for number in range(count)]


def draw(path: Path, width: int, chance: random.Random) -> str:
    height = width * 2 // 3
    picture = Image.new("RGB", (width, height))
    pen = ImageDraw.Draw(picture)
    for _ in range(300):
        x, y, reach = chance.randrange(width), chance.randrange(height), chance.randrange(2, width // 8)
        colour = (chance.randrange(256), chance.randrange(256), chance.randrange(256))
        pen.ellipse((x, y, x + reach, y + reach), colour)
    picture.save(path, quality=90)
    return str(path)


def work(job: list[str | int]) -> list[str | int]:
    """The thumbnail's hash and size in bytes."""
    path, width = str(job[0]), int(job[1])
    thumbnail = io.BytesIO()
    with Image.open(path) as picture:
        picture.thumbnail((width, width))
        picture.save(thumbnail, "JPEG")
    return [hashlib.sha256(thumbnail.getbuffer()).hexdigest(), len(thumbnail.getbuffer())]
