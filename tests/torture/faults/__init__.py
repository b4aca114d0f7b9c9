"""All faults, from the modules beside this file, each of which has a `FAULTS`."""

from __future__ import annotations

import importlib
import pkgutil

from torture.fault import Fault


def _found() -> list[Fault]:
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return [fault for name in names for fault in importlib.import_module(f"{__name__}.{name}").FAULTS]


FAULTS: list[Fault] = _found()
