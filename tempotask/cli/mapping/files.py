"""The files of a map: what it reads, and what it writes."""

from __future__ import annotations

import os
import sys
import threading

import click

from tempotask.cli.mapping.answered import Answered, answered, insist_on_rows
from tempotask.cli.mapping.arguments import Arguments
from tempotask.cli.mapping.lines import Lines
from tempotask.cli.mapping.target import Target


class Files:
    """Opens them. Raises `click.UsageError` for what can't be."""

    def __init__(self, arguments: Arguments) -> None:
        self.ready = threading.Event()
        self.lines = Lines(arguments.files, b"\0" if arguments.null else b"\n", self.ready.set)
        self.output = Target(os.dup(sys.stdout.fileno())) if arguments.output is None else Target.open(arguments.output)
        self.failed = None if arguments.failed is None else Target.open(arguments.failed)
        self.answered = Answered()
        targets = [target for target in (self.output, self.failed) if target is not None and target.regular]
        for target in targets:
            if target.identity in self.lines.identities:
                raise click.UsageError(f"{target.name} is read and written; give another name to one of them")
        if arguments.resume:
            self._go_on()
        else:
            self._begin(arguments)

    def _begin(self, arguments: Arguments) -> None:
        uses = {"goes on with it": self.output if arguments.output else None, "begins it anew": self.failed}
        for use, target in uses.items():
            if target is not None and target.regular and not target.empty:
                raise click.UsageError(f"{target.name} is not empty: --resume {use}, or remove it")

    def _go_on(self) -> None:
        if not self.output.regular:
            raise click.UsageError(f"--resume goes on with a file, and {self.output.name} is none")
        self.answered = answered(self.output)
        if self.failed is not None and self.failed.regular:
            # What is in it is tried again; it goes when the first of the inputs is answered.
            insist_on_rows(self.failed)

    def sync(self) -> None:
        """Puts on the disk what was written. Raises `OSError`."""
        for target in (self.output, self.failed):
            if target is not None:
                target.sync(now=True)

    def close(self) -> None:
        """Puts on the disk what was written."""
        for target in (self.output, self.failed):
            if target is not None:
                target.close()
