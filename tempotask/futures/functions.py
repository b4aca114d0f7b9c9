"""Functions that another process finds by their names, and calls: how they are named, found, and told to run."""

from __future__ import annotations

import functools
import importlib
import os
import sys
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tempotask.errors import NotImportable
from tempotask.names import short

SEPARATOR = ":"
HOW_TO_GO_ON = "define it at the top level of a module"
PICKLE_IT = "define a function at the top level of a module, or give pickle=True, which sends the object along"


def named(function: object) -> tuple[str, tuple[object, ...], Mapping[str, object]]:
    """How others find a function, `module:name`, and the arguments that it brings: those of a `functools.partial`.

    Raises:
        NotImportable: others can't find it.
    """
    if type(function) is functools.partial:
        target, first, keywords = named(function.func)
        return target, (*first, *function.args), {**keywords, **function.keywords}
    return _named(function), (), {}


def _named(function: object) -> str:
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if not callable(function) or not isinstance(module, str) or not isinstance(name, str):
        what = "which has no name" if callable(function) else "which is no function"
        raise NotImportable(f"{short(function)}, {what}, can't be called by workers: {PICKLE_IT}")
    if "<" in name:
        kind = "a lambda" if name.endswith("<lambda>") else "defined inside a function"
        raise NotImportable(f"{module}.{name} is {kind}, so workers can't import it: {HOW_TO_GO_ON}")
    there = _lookup(sys.modules.get(module), name)
    if there is function or (isinstance(function, types.MethodType) and there == function):
        if module == "__main__":
            check_main(function)
            module = _name_of_main()
        return f"{module}{SEPARATOR}{name}"
    if there is not None and isinstance(function, types.MethodType):
        raise NotImportable(f"{module}.{name} of {short(function.__self__)} is bound to an object: {PICKLE_IT}")
    raise NotImportable(f"workers that import {module} do not find {name} in it as it is here: {HOW_TO_GO_ON}")


def check_main(function: object) -> None:
    """Raises `NotImportable` for a function of a main program that workers can't import: `multiprocessing`, too,
    imports nothing but a file or a module again, in the processes that it spawns."""
    main = sys.modules["__main__"]
    while isinstance(function, functools.partial):
        function = function.func
    if getattr(function, "__module__", None) != "__main__" or getattr(main, "__spec__", None) is not None:
        return
    if not os.path.isfile(getattr(main, "__file__", None) or ""):
        raise NotImportable(
            f"{getattr(function, '__name__', short(function))} was typed at a prompt, in a notebook or after -c, and "
            f"workers can't import it: {HOW_TO_GO_ON}"
        )


def _name_of_main() -> str:
    """How workers find what is in the main program: `multiprocessing` imports no `__main__` of a package again."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return spec.name if spec is not None and spec.name.endswith(".__main__") else "__main__"


def _lookup(module: object, name: str) -> object | None:
    found: object | None = module
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


@functools.cache
def found(target: str) -> Callable[..., Any]:
    """The function of that name; its module is imported if need be.

    Raises:
        NotImportable: there is none. What the import of its module raises passes through.
    """
    module, _, name = target.partition(SEPARATOR)
    try:
        home = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise NotImportable(f"a worker finds no module {error.name} for {target}") from error
    function = _lookup(home, name)
    if not callable(function):
        raise NotImportable(f"{module} has no function {name} where a worker imports it")
    return function


def in_a_row(function: Callable[..., Any], chunk: Iterable[Iterable[Any]]) -> list[Any]:
    """Calls a function once for each of these arguments."""
    return [function(*arguments) for arguments in chunk]
