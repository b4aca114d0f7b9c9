"""Types the command of this example, and kills all of it with -9 when it has written ten rows more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

COMMAND = "ls days/* | tempotask map crunch:summary --resume -o rows.jsonl --quiet"
ROWS = Path("rows.jsonl")
MORE = 10


def written() -> int:
    return ROWS.read_bytes().count(b"\n") if ROWS.exists() else 0


def main() -> None:
    enough = written() + MORE
    process = subprocess.Popen(COMMAND, shell=True, process_group=0)
    while process.poll() is None and written() < enough:
        time.sleep(0.005)
    if process.poll() is not None:
        sys.exit(f"it has ended before it could be killed, with status {process.returncode}")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    print(f"killed, with {written()} of 80 rows written")


if __name__ == "__main__":
    main()
