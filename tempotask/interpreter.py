"""How this Python was started, so that a pool's processes are started alike."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

_ISOLATING = {"-I", "-E", "-P"}
"""Options under which our processes would not be told where to import from."""


def command() -> list[str]:
    """This interpreter, with the options that it was given: `-O`, `-W`, `-X`, as `multiprocessing` has it."""
    options: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    return [sys.executable, *(option for option in options if option not in _ISOLATING)]


def arguments() -> list[bytes]:
    """The program's `sys.argv`, for `take_arguments` in another process."""
    return [os.fsencode(argument) for argument in sys.argv]


def take_arguments(given: Sequence[bytes]) -> None:
    """Puts the program's `sys.argv` in place, so that a script finds it when a pool's process imports it."""
    sys.argv[:] = [os.fsdecode(argument) for argument in given]
