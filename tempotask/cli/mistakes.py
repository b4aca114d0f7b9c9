"""What was typed wrong, in one line, and what to type."""

from __future__ import annotations

import re

import click

from tempotask.names import nearest


def wrong_use(error: click.UsageError, root: click.Command | None = None, hint: str = "") -> str:
    """Two lines for a mistake that click found. `hint` goes with an unknown option of the `root` command."""
    command = error.ctx.command_path if error.ctx is not None else root.name if root is not None else ""
    text = " ".join(error.format_message().split())
    if isinstance(error, click.NoSuchOption):
        known = [name for param in error.ctx.command.params for name in param.opts] if error.ctx is not None else []
        near = nearest(error.option_name, known)
        text = f"there is no option {error.option_name}" + (f"; did you mean {near}?" if near else "")
        if error.ctx is not None and error.ctx.command is root and hint:
            text += f"; {hint}"
    return f"{command}: {re.sub('[.]$', '', text)}\nTry '{command} --help'."
