"""What a handler does to the interpreter of its process."""

from __future__ import annotations

import builtins
import inspect
import resource
import sys
from typing import Any

from tempotask import Job
from torture.nasty.handler import nasty


@nasty
def deletes_builtins(job: Job[list[str]]) -> str:
    for name in job.data:
        delattr(builtins, name)
    return "deleted"


@nasty
def changes_standard_output(job: Job[Any]) -> str:
    sys.stdout = sys.stderr = None
    return "changed"


@nasty
def traces(job: Job[Any]) -> str:
    """Whatever is called next in this thread raises."""

    def trace(*what: Any) -> None:
        raise RuntimeError("traced")

    sys.settrace(trace)
    return "traced"


@nasty
def profiles(job: Job[Any]) -> str:
    def profile(*what: Any) -> None:
        raise RuntimeError("profiled")

    sys.setprofile(profile)
    return "profiled"


@nasty
def sets_low_limits(job: Job[Any]) -> str:
    """No new descriptors, and little recursion."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    sys.setrecursionlimit(len(inspect.stack()) + 3)
    return "set"
