"""A folder in which files of arrays are put."""

from __future__ import annotations

import gc
from pathlib import Path


class Room:
    """Where files of arrays are put, and what they are."""

    def __init__(self, base: Path) -> None:
        self.base = base

    def files(self, kind: str = "") -> list[Path]:
        """The files of a kind, or all."""
        return [path for path in self.base.rglob("*") if path.is_file() and path.name.startswith(kind)]

    def is_clean(self) -> bool:
        """Whether nothing at all is there, folders neither."""
        gc.collect()
        return not list(self.base.iterdir())
