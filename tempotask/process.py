"""A supervisor as a child process of this program, from before it is told what to supervise.

The child runs launched.py. It imports what it needs until it is told, so who knows that a pool will be wanted starts it
first of all; hence nothing is imported here that takes long. Three things bind the two: the child's standard input is
a pipe that brings what it is told, and ends when this program ends, however that comes, and then the pool goes too; the
child writes one line when all workers are ready, or why they will not be; and signals tell it to stop.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import weakref

from tempotask import interpreter

MARK = "TEMPOTASK_LAUNCHED"
"""The environment variable by which what comes from the child is told from all else: its value is nobody else's."""
GENTLY, AT_ONCE = signal.SIGUSR1, signal.SIGUSR2
"""How this program has the child stop. Not by TERM: who stops a whole service sends that to both, and a second one
stops at once."""
HELD_BACK = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, GENTLY, AT_ONCE)
"""What the child is told by signals: it lets them in when it listens."""


class SupervisorProcess:
    """The child, and this program's ends of its pipes. Its standard output goes to `output`, if not where ours does.

    Raises:
        OSError: the system refuses.
    """

    def __init__(self, output: int | None = None) -> None:
        self._told = False
        read_end, write_end = os.pipe()
        self.report = os.fdopen(read_end, "rb")
        # -P: what lies in the working directory is imported only if this program would.
        command = [*interpreter.command(), "-P", "-m", "tempotask.launched", str(write_end), *sys.argv]
        # A child is born with what its parent holds back, and lets it in when it listens: before, it would end by it.
        held_back = signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK)
        try:
            self.child = subprocess.Popen(
                command,
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=output,
                pass_fds=(write_end,),
                # Out of the terminal's foreground group: a Ctrl-C comes to this program, and it decides what follows.
                process_group=0,
                env=environment(),
            )
        except BaseException:
            self.report.close()
            signal.pthread_sigmask(signal.SIG_SETMASK, held_back)
            raise
        finally:
            os.close(write_end)
        _children.add(self.child)
        try:
            # Last, as what was held back may be raised here.
            signal.pthread_sigmask(signal.SIG_SETMASK, held_back)
        except BaseException:
            self.dismiss()
            raise

    def tell(self, line: bytes) -> None:
        """Tells the child what to supervise, in one line; one that has ended already does not hear it."""
        self._told = True
        assert self.child.stdin is not None
        rest = memoryview(line + b"\n")
        with contextlib.suppress(BrokenPipeError):
            while rest:
                rest = rest[self.child.stdin.write(rest) :]

    def dismiss(self) -> None:
        """Ends a child that was told nothing: nobody has wanted it."""
        if not self._told:
            self.child.kill()
            self.child.wait()
            self.close()

    def close(self) -> None:
        """Closes the pipes."""
        self.report.close()
        _close(self.child)


def environment() -> dict[str, str]:
    """The child's: it imports from where this program does."""
    path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
    # The mark comes behind the rest, which may hold passwords, and which the title of the process takes the place of.
    others = {name: value for name, value in os.environ.items() if name != MARK}
    return {**others, "PYTHONPATH": path, MARK: os.urandom(16).hex()}


def _close(child: subprocess.Popen[bytes]) -> None:
    if child.stdin is not None:
        child.stdin.close()


def _close_all() -> None:
    for child in list(_children):
        _close(child)


_children: weakref.WeakSet[subprocess.Popen[bytes]] = weakref.WeakSet()
# In every fork of this program, or the pool would outlive the program with them.
os.register_at_fork(after_in_child=_close_all)
