"""The command `tempotask top`: how queues, workers and failures stand, again and again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from tempotask.cli import output
from tempotask.cli.command import LOOKING, end, everywhere, say

if TYPE_CHECKING:
    from tempotask.manager import QueueManager
    from tempotask.top.state import State

ONE_SECOND = 1.0
"""Over which `--once` measures rates, and after which the screen is drawn though nothing has happened."""
SOON = 0.2
"""Seconds between two looks whether the supervisors have answered."""
ANSWERS_WITHIN = 3.0
"""Seconds for which `--once` waits for the supervisors."""


@click.command()
@everywhere
@click.option("--once", is_flag=True, help="Prints the tables once, as --json does; takes a second, to measure rates.")
def top(db: str | None, namespace: str, as_json: bool, once: bool) -> None:
    """Shows queues, workers and failures as they change, with keys to act on them."""
    from tempotask.manager import QueueManager
    from tempotask.top.terminal import why_not

    once = once or as_json
    if not once and (reason := why_not()):
        end(2, f"top: {reason}; `tempotask top --once` prints the tables once")
    with QueueManager.init(db, namespace=namespace, options={"connect_timeout": LOOKING}) as manager:
        manager._client.server.check()
        if once:
            _print(_once(manager), as_json)
        else:
            _show(manager)


# -- once


def _once(manager: QueueManager[Any]) -> State:
    """Two looks, a second apart; more, while supervisors have not answered."""
    from tempotask.top.state import Looking

    looking, began = Looking(manager._client.store), time.monotonic()
    looking.look()
    pause = ONE_SECOND
    while True:
        time.sleep(pause)
        state, pause = looking.look(), SOON
        complete = not state.asked and all(worker.cpu_percent is not None for worker in state.workers)
        if complete or time.monotonic() - began >= ANSWERS_WITHIN:
            return state


def _print(state: State, as_json: bool) -> None:
    """Ends with 1 when somebody did not answer."""
    from tempotask.top.tables import tables

    if as_json:
        for kind, some in (("queue", state.queues), ("worker", state.workers), ("failure", state.failures)):
            for one in some:
                output.print_json({"kind": kind, **{name: getattr(one, name) for name in one.__struct_fields__}})
    else:
        for number, table in enumerate(tables(state)):
            if number:
                output.print_line("")
            names = [column.title for column in table.columns]
            numbers = [column.title for column in table.columns if column.right]
            output.print_table(names, [table.line(row).cells for row in table.rows.values()], numbers)
    for supervisor in (*state.asked, *state.silent):
        say(f"supervisor {supervisor} did not answer within {ANSWERS_WITHIN:.0f} s; `tempotask server` shows its lease")
    if state.asked or state.silent:
        raise click.exceptions.Exit(1)


# -- until it is quit


def _show(manager: QueueManager[Any]) -> None:
    """Shows it until somebody quits. Ends with 128 and the signal's number when it is told to end by another than
    Ctrl-C."""
    import signal

    from tempotask.top.keys import Keys
    from tempotask.top.sampler import Sampler
    from tempotask.top.screen import Screen
    from tempotask.top.terminal import Terminal

    keys, quitting, drawn = Keys(), False, None
    with Terminal() as terminal:
        sampler = Sampler(manager, terminal.wake)
        screen = Screen(sampler, f"{manager._client.namespace} at {manager._client.server.label}")
        sampler.start()
        while not quitting:
            used = time.thread_time()
            terminal.show(screen.drawn(*terminal.size))
            if drawn is not sampler.state:
                drawn, sampler.drawing = sampler.state, time.thread_time() - used
            happened = terminal.wait(ONE_SECOND)
            quitting = any(screen.press(key) for key in keys.pressed(happened.read)) or bool(happened.ended)
            if sampler.failure is not None:
                break
        sampler.stop()
    if sampler.failure is not None:
        raise sampler.failure
    if happened.ended not in (0, signal.SIGINT):
        raise click.exceptions.Exit(128 + happened.ended)
