"""Finds and imports the application that a nursery or a spawned worker is to run, and says well why it can't."""

from __future__ import annotations

import difflib
import importlib
import importlib.machinery
import importlib.util
import os
import pkgutil
import sys
import sysconfig
import traceback
import types
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol, TypeVar, cast

from tempotask.pool.control_block import ControlBlock
from tempotask.pool.log_format import readable
from tempotask.pool.report import AppReport, WorkerSpec
from tempotask.store.address import without_secrets

_LIBRARIES = tuple({sysconfig.get_path(name) + os.sep for name in ("stdlib", "purelib", "platlib")})
_OURS = str(Path(__file__).resolve().parent.parent) + os.sep
_MAIN = "__mp_main__"  # what multiprocessing calls a script that it imports again, so that guards hold
_T = TypeVar("_T")
MODULES = "TEMPOTASK_MODULES"
"""The variable in which a program that starts a pool names its application and, each on a line, the other modules that
declare its tasks: a manager is where it was made, which need not import them."""
_keep: list[types.ModuleType] = []

importing = False
"""True while an application is being imported: whoever would start a pool now has forgotten the guard
`if __name__ == "__main__"` and would start one in each process, without end."""


class Manager(Protocol):
    """What a nursery asks of an application: a `QueueManager` has it."""

    def describe(self) -> AppReport: ...

    def work(self, spec: WorkerSpec, block: ControlBlock) -> int | None: ...


class LoadError(Exception):
    """The application can't be had. `summary` is one line; `traceback` has the user's own frames, or is empty."""

    def __init__(self, summary: str, traceback: str = "") -> None:
        self.summary = without_secrets(readable(summary))
        self.traceback = without_secrets(readable(traceback))  # its lines of code may hold a URL
        super().__init__(self.summary)


def load(application: str) -> Manager:
    """Imports `module:attribute` or `path/to/script.py:attribute`; without attribute, takes the only manager there is.

    Raises `LoadError`.
    """
    # The name of a script may hold any character.
    target, _, attribute = application.rpartition(":") if ".py:" in application else application.partition(":")
    if not target or application.endswith(":"):
        lacks = "attribute" if target else "module"
        raise LoadError(f'"{application}" names no {lacks}; write module:attribute, as in app:tempotask')
    module = imported(target)
    manager = _pick(module, target, attribute) if attribute else _only(module, target)
    of, *others = os.environ.get(MODULES, "").split("\n")
    if of == application:
        for other in others:
            imported(other)
    return manager


def imported(target: str) -> types.ModuleType:
    """A module by its name, or a script by its path, which must end in .py or hold a slash. Raises `LoadError`."""
    is_script = target.endswith(".py") or os.sep in target
    return _guarded(target, lambda: _run_script(target) if is_script else _import_module(target))


def describe(manager: Manager, application: str) -> AppReport:
    """What the manager tells of itself. Raises `LoadError`."""
    return _guarded(application, manager.describe, "describing")


def _guarded(target: str, call: Callable[[], _T], doing: str = "importing") -> _T:
    global importing
    importing = True
    try:
        return call()
    except LoadError:
        raise
    except BaseException as error:  # SystemExit too: a script without a guard may well end in sys.exit()
        raise LoadError(_summary(target, error, doing), _own_frames(error)) from error
    finally:
        importing = False


def _import_module(name: str) -> types.ModuleType:
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and f"{name}.".startswith(f"{error.name}.") and not _has_user_frames(error):
            raise LoadError(_no_module(error.name)) from None
        raise
    except (TypeError, ValueError):
        if all(part.isidentifier() for part in name.split(".")):
            raise
        raise LoadError(f'"{name}" is no module name; write module:attribute, as in app:tempotask') from None


def _run_script(path: str) -> types.ModuleType:
    file = Path(path).resolve()
    if not file.is_file():
        near = _nearest(file.name, (other.name for other in file.parent.glob("*.py")))
        where = file.parent if file.parent.is_dir() else f"{file.parent}, which does not exist"
        raise LoadError(f'no file "{file.name}" in {where}{near}')
    sys.path.insert(0, str(file.parent))
    loader = importlib.machinery.SourceFileLoader(_MAIN, str(file))
    spec = importlib.util.spec_from_file_location(_MAIN, file, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    # As of every script that runs: `multiprocessing` takes it for a module otherwise, and "spawn" looks for that.
    module.__spec__ = None
    _keep.append(sys.modules["__main__"])
    sys.modules[_MAIN] = sys.modules["__main__"] = module
    loader.exec_module(module)
    return module


def _pick(module: types.ModuleType, target: str, attribute: str) -> Manager:
    found: object = module
    for name in attribute.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            raise LoadError(f'"{target}" has no attribute "{attribute}"{_offer(module, target, attribute)}') from None
    if not _is_manager(found):
        what = f"the class {found.__name__}" if isinstance(found, type) else f"of type {type(found).__name__}"
        raise LoadError(f"{target}:{attribute} is {what}, and is not a QueueManager{_offer(module, target)}")
    return cast(Manager, found)


def _only(module: types.ModuleType, target: str) -> Manager:
    managers = _managers(module)
    distinct = {id(manager): manager for manager in managers.values()}
    if not distinct:
        raise LoadError(f'"{target}" has no QueueManager; make one there: tempotask = QueueManager.init()')
    if len(distinct) > 1:
        raise LoadError(f'"{target}" has {len(distinct)} QueueManagers; say which one: {_spelt(target, managers)}')
    return next(iter(distinct.values()))


def _is_manager(found: object) -> bool:
    return all(callable(getattr(type(found), method, None)) for method in ("describe", "work")) and not isinstance(
        found, type
    )


def _managers(module: types.ModuleType) -> dict[str, Manager]:
    return {name: cast(Manager, value) for name, value in vars(module).items() if _is_manager(value)}


def _offer(module: types.ModuleType, target: str, wanted: str = "") -> str:
    if managers := _managers(module):
        return f"; it has {_spelt(target, managers)}"
    return _nearest(wanted, (name for name in vars(module) if not name.startswith("_"))) + (
        "; it has no QueueManager, make one there: tempotask = QueueManager.init()"
    )


def _spelt(target: str, names: Iterable[str]) -> str:
    return " and ".join(f"{target}:{name}" for name in names)


def _no_module(name: str) -> str:
    parent, _, last = name.rpartition(".")
    folders = list(getattr(sys.modules[parent], "__path__", ())) if parent else [os.getcwd()]
    if not folders:
        return f'no module "{last}" in {parent}, which is one file; did you mean {parent}:{last}?'
    there = [found.name for found in pkgutil.iter_modules(folders)]
    return f'no module "{last}" in {folders[0]}{_nearest(last, there) or _listed(there)}'


def _nearest(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(names), n=2)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def _listed(names: list[str]) -> str:
    if not names:
        return ", which holds no Python module"
    return f"; there are: {', '.join(names[:8])}{' …' if len(names) > 8 else ''}"


def _is_own(filename: str) -> bool:
    """Whether a frame is the user's: neither ours nor the import machinery's."""
    machinery = filename.startswith(("<frozen importlib", "<frozen runpy")) or f"{os.sep}importlib{os.sep}" in filename
    return not machinery and not filename.startswith(_OURS)


def _has_user_frames(error: BaseException) -> bool:
    return any(_is_own(frame.filename) for frame in traceback.extract_tb(error.__traceback__))


def _own_frames(error: BaseException) -> str:
    whole = traceback.TracebackException.from_exception(error)
    todo = [whole]
    while todo:
        part = todo.pop()
        part.stack = traceback.StackSummary.from_list(frame for frame in part.stack if _is_own(frame.filename))
        todo += [other for other in (part.__cause__, part.__context__, *(part.exceptions or ())) if other]
    return "".join(whole.format())


def _summary(target: str, error: BaseException, doing: str) -> str:
    try:
        text = str(error).strip().partition("\n")[0]
    except Exception as second:
        text = f"(its text can't be made: {type(second).__name__})"
    if isinstance(error, SystemExit):
        return f'{doing} {target} ended in sys.exit({text}): put what runs as a script under if __name__ == "__main__"'
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_own(frame.filename)]
    # What a library raises was brought about further up, if that is not installed as one itself.
    own = [frame for frame in own if not frame.filename.startswith(_LIBRARIES)] or own
    place = f" ({own[-1].filename}, line {own[-1].lineno})" if own else ""
    return f"{doing} {target} failed: {type(error).__name__}{': ' + text if text else ''}{place}"
