"""Makes a thumbnail of each picture that has none yet, on every core: python thumbnails.py"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

from PIL import Image

from tempotask import Context, Job, JobFailed, QueueManager, as_completed

FOLDER, SMALL = Path("pictures"), Path("small")
WIDTH = 160

tempotask = QueueManager.init(namespace="thumbnails")


@tempotask.task(queue="pictures", timeout=60)
def thumbnail(job: Job[str], ctx: Context[Any]) -> int:
    """Makes the thumbnail of the picture of that name; its size in bytes."""
    small = SMALL / job.data
    # A job whose process dies runs again: only what is whole has its name.
    unfinished = small.with_suffix(".part")
    with Image.open(FOLDER / job.data) as picture:
        picture.thumbnail((WIDTH, WIDTH))
        picture.save(unfinished, "JPEG")
    unfinished.replace(small)
    return small.stat().st_size


async def main() -> int:
    SMALL.mkdir(exist_ok=True)
    names = [path.name for path in sorted(FOLDER.glob("*.jpg")) if not (SMALL / path.name).exists()]
    # A job is called after its picture: what a run that was killed has left is taken up, and not added twice.
    of = {quote(name): name for name in names}
    sizes: list[int] = []
    broken: dict[str, JobFailed] = {}
    async with tempotask:
        handles = await tempotask.aenqueue_many(
            {"name": "thumbnail", "queue": "pictures", "data": name, "options": {"id": id}} for id, name in of.items()
        )
        async for handle in as_completed(handles):
            try:
                sizes.append(await handle)
            except JobFailed as error:
                broken[of[handle.id]] = error
            if (done := len(sizes) + len(broken)) % 20 == 0:
                print(f"{done} of {len(names)}")
    print(f"{len(sizes)} thumbnails, {sum(sizes) // 1024} KiB; {len(broken)} broken")
    for name, why in sorted(broken.items()):
        print(f"  {FOLDER / name}: {why.type}: {why.message}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
