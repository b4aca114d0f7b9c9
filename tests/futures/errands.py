"""Functions for workers of an executor to call."""

from __future__ import annotations

import dataclasses
import os
import signal
from pathlib import Path
from typing import Any

from tempotask import JobCancelled

begun: list[Any] = []


class Odd(Exception):
    """An error of a module's own, that is made of other arguments than it keeps."""

    def __init__(self, number: int, *, colour: str) -> None:
        super().__init__(number)
        self.colour = colour


class Plain(Exception):
    """An error of a module's own."""


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    """An error that nobody may write to."""

    code: int


class Ending(Exception):
    """An error that ends a program which makes it again."""

    def __init__(self, pid: int) -> None:
        super().__init__(pid)
        if pid != os.getpid():
            raise SystemExit(3)


class Changeling(Exception):
    """An error whose type makes something else, where it is made of what it keeps."""

    def __new__(cls, *arguments: Any) -> Any:
        made = super().__new__(cls, *arguments)
        return made if arguments[-1] == "two" and os.environ.get("TEMPOTASK_CALLS") else "no error"


class Hidden(Exception):
    """An error that does not say what it was made of."""

    @property
    def args(self) -> Any:  # type: ignore[override]
        raise OSError("nobody knows")


class Box:
    """Something that only a pickle can bring."""

    def __init__(self, value: object) -> None:
        self.value = value

    def get(self) -> object:
        return self.value

    @classmethod
    def named(cls) -> str:
        return cls.__name__

    @staticmethod
    def double(number: int) -> int:
        return 2 * number


class Trap:
    """Whoever unpickles it makes a file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path(self.path),)


def same(value: Any) -> Any:
    return value


def capture(*arguments: Any, **keywords: Any) -> Any:
    return [arguments, keywords]


def add(one: int, other: int) -> int:
    return one + other


def fail(kind: str = "plain") -> None:
    if kind == "odd":
        raise Odd(3, colour="red")
    if kind == "builtin":
        raise KeyError("no such", 7)
    raise Plain("so", 1)


def fail_oddly(kind: str) -> None:
    if kind == "frozen":
        raise Frozen(3)
    if kind == "hidden":
        raise Hidden("it")
    if kind == "large":
        import numpy

        raise ValueError(numpy.ones(100_000))
    if kind == "array":
        import numpy

        raise ValueError(numpy.arange(3))
    if kind == "changeling":
        raise Changeling("one", "two")
    raise Ending(os.getpid())


def fail_as_cancelled(number: int) -> None:
    """As one that has waited for a job which was cancelled."""
    raise JobCancelled(f"job {number} was cancelled")


def fail_at(number: int, bad: int) -> int:
    if number == bad:
        raise ValueError(number)
    return number


def die(number: int = signal.SIGKILL) -> None:
    os.kill(os.getpid(), number)


def hold(folder: str, name: str) -> str:
    """Tells that it has begun, and goes on when the gate is opened."""
    Path(folder, f"begun-{name}").touch()
    with open(Path(folder, "gate")):
        return name


def touch(path: str) -> None:
    with open(path, "a") as file:
        file.write(".")


def begin(value: Any) -> None:
    begun.append(value)


def what_begun() -> list[Any]:
    return begun


def begin_badly() -> None:
    raise ValueError("it can't begin")
