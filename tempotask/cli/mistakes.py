"""What was typed wrong, in one line, and what to type."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

import click

from tempotask.names import nearest


def insist_on_folder() -> None:
    """Raises `UsageError` where the working directory is gone: nothing can be imported from there."""
    try:
        os.getcwd()
    except OSError:
        where = click.get_current_context()
        raise click.UsageError("the working directory is gone; change into one that is there", where) from None


def insist_on_utf8(context: click.Context, parameter: click.Parameter, given: str | None) -> str | None:
    """`given`, if it can be sent to other processes: an argument may be any bytes. Else raises `UsageError`."""
    try:
        (given or "").encode()
    except UnicodeEncodeError:
        raise click.BadParameter("it is no UTF-8; rename what it names", context, parameter) from None
    return given


def wrong_use(error: click.UsageError, root: click.Command, given: Sequence[str] = (), hint: str = "") -> str:
    """A line for a mistake that click found in what was `given` to the `root` command. `hint` goes with an unknown
    option of that."""
    command = str(root.name)
    if error.ctx is not None:
        command = error.ctx.command_path
    elif isinstance(root, click.Group) and given and given[0] in root.commands:
        command += f" {given[0]}"
    text = " ".join(error.format_message().split())
    if isinstance(error, click.NoSuchOption):
        known = [name for param in error.ctx.command.params for name in param.opts] if error.ctx is not None else []
        near = nearest(error.option_name, known)
        text = f"there is no option {error.option_name}" + (f"; did you mean {near}?" if near else "")
        if error.ctx is not None and error.ctx.command is root and hint:
            text += f"; {hint}"
    return f"{command}: {re.sub('[.]$', '', text)}; see `{command} --help`"
