"""A signal whose handler raises, as Ctrl-C's does, comes through wherever it strikes, and nothing breaks."""

from __future__ import annotations

from door.conftest import Run

PROGRAM = """
from door.app import echo, left, tempotask
import random, signal, sys, time

class Interrupt(BaseException):
    pass

armed = False

def strike(*_):
    if armed:
        raise Interrupt

# Some strike in a finalizer, where the interpreter drops what is raised, and says so.
sys.unraisablehook = lambda _: None
signal.signal(signal.SIGALRM, strike)
chance, struck, end = random.Random(1), 0, time.monotonic() + 4
while time.monotonic() < end:
    try:
        try:
            armed = True
            signal.setitimer(signal.ITIMER_REAL, chance.uniform(0.00002, 0.0008))
            left.enqueue()
            tempotask.get_job_by_id("nobody")
        finally:
            armed = False
    except Interrupt:
        struck += 1
signal.setitimer(signal.ITIMER_REAL, 0)
assert struck > 100, struck
assert echo.enqueue(1).result(60) == 1
"""


def test_a_program_that_is_interrupted_again_and_again_lives_and_works(run: Run) -> None:
    run(PROGRAM)
