"""What was typed behind `tempotask map`, checked."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass

import click

from tempotask.cli.mapping.work import Work
from tempotask.durations import duration
from tempotask.names import check_name
from tempotask.store import namespaces

LONGEST = 100
"""Characters of a namespace that is given: more follow it in the name of the map's own."""


@dataclass(frozen=True)
class Arguments:
    """The arguments and options, by their names."""

    function: str
    shell: str
    files: tuple[str, ...]
    output: str | None
    failed: str | None
    resume: bool
    ordered: bool
    bare: bool
    jsonl: bool
    null: bool
    concurrency: int | None
    in_flight: int | None
    attempts: int
    timeout: float | None
    quiet: bool
    db: str | None
    namespace: str | None
    as_json: bool

    def check(self) -> None:
        """Raises `click.UsageError` for what makes no sense together, and `InvalidOptions` for what is no time."""
        if not self.function and not self.shell.strip():
            raise click.UsageError("there is no function; give one as module:function, or a command with --shell")
        if self.resume and self.output is None:
            raise click.UsageError("--resume goes on with a file; give it with -o FILE")
        if self.resume and self.bare:
            raise click.UsageError("--bare writes no indices, so --resume can't know what is answered; leave one out")
        if self.shell and self.jsonl:
            raise click.UsageError("--jsonl is for functions; a command gets each line as it is")
        if self.failed == "-":
            raise click.UsageError("--failed takes the name of a file; without it each failed input is told in a line")
        if self.output and self.failed and os.path.realpath(self.output) == os.path.realpath(self.failed):
            raise click.UsageError("rows and failed inputs would go to the same file; give another name to one of them")
        if self.timeout is not None:
            duration("--timeout", self.timeout, zero=False)
        if self.namespace is not None:
            check_name("namespace", self.namespace)
            if len(self.namespace) > LONGEST:
                raise click.UsageError(f"--namespace takes at most {LONGEST} characters here, as more follow them")

    @property
    def work(self) -> Work:
        """What workers do with each input."""
        return Work(self.function, self.shell, self.jsonl, self.bare, self.attempts, self.timeout)

    @property
    def kind(self) -> str:
        """What the namespaces of such maps begin with."""
        return f"{self.namespace}-map" if self.namespace else "map"

    def own_namespace(self, *, kept: bool) -> str:
        """The namespace: the map's own, so that it never meets the user's other jobs. Where the output is `kept`, it is
        named after that file, so that the same command finds what a killed one has left in the queue."""
        if not kept or self.output is None:
            return namespaces.new(self.kind)
        path = os.path.realpath(self.output)
        return f"{self.kind}-{hashlib.blake2b(os.fsencode(path), digest_size=8).hexdigest()}"

    @property
    def workers(self) -> int:
        """How many there are."""
        return self.concurrency or os.cpu_count() or 1
