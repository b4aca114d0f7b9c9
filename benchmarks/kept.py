"""What is kept of an earlier run, in the repository: the ratios that are guarded, and where they were measured."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from benchmarks.harness import Failed

PATH = Path(__file__).with_name("kept.json")


@dataclass(frozen=True)
class Kept:
    """Ratios by benchmark and row, and the machine on which they were measured."""

    machine: dict[str, Any]
    ratios: dict[str, dict[str, float]]

    @classmethod
    def read(cls, path: Path = PATH) -> Self:
        """Raises Failed when nothing has been kept."""
        try:
            return cls(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise Failed(f"{path} can't be read: {error}; python -m benchmarks --keep writes it") from error

    def write(self, path: Path = PATH) -> None:
        path.write_text(json.dumps({"machine": self.machine, "ratios": self.ratios}, indent=1) + "\n")
