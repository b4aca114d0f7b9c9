"""An environment: what one peer needs, in a folder of its own, so that no peer decides which versions another gets."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness import ROOT, Failed

APPS = Path(__file__).parent / "apps"
"""What runs inside of environments."""
HOME = ROOT / ".peers"
"""Where the environments are; git ignores it."""


class NotInstalled(Failed):
    """A peer can't be had on this machine."""


@dataclass(frozen=True)
class Environment:
    """Packages for pip, or for npm if `node`; the first is the peer itself. Without packages it is Python's own."""

    name: str
    packages: tuple[str, ...] = ()
    node: bool = False

    @property
    def home(self) -> Path:
        return HOME / self.name

    @property
    def python(self) -> str:
        return str(self.home / "bin" / "python") if self.packages else sys.executable

    @property
    def installed(self) -> bool:
        return not self.packages or self._mark.exists()

    @property
    def _mark(self) -> Path:
        """Is there when all packages are."""
        return self.home / "installed"

    def install(self) -> str:
        """Installs it unless it is installed, and returns the peer's version. Raises NotInstalled."""
        if not self.installed:
            self.home.mkdir(parents=True, exist_ok=True)
            for command in self._installing():
                run(command, self.home)
            self._mark.touch()
        return self._version() if self.packages else platform.python_version()

    def _version(self) -> str:
        if self.node:
            found = json.loads((self.home / "node_modules" / self.packages[0] / "package.json").read_text())["version"]
            return str(found)
        name = self.packages[0].partition("[")[0]
        code = f"import importlib.metadata as m; print(m.version({name!r}))"
        return run([self.python, "-c", code], self.home).strip()

    def _installing(self) -> list[list[str]]:
        if self.node:
            return [["npm", "install", "--no-audit", "--no-fund", *self.packages]]
        pip = [self.python, "-m", "pip", "install", "--quiet"]
        return [[sys.executable, "-m", "venv", str(self.home)], [*pip, *self.packages]]


def run(command: list[str], cwd: Path, environment: dict[str, str] | None = None) -> str:
    """What the command prints. Raises NotInstalled when it can't be run or fails."""
    try:
        done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=600)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstalled(f"{command[0]}: {error}") from error
    if done.returncode:
        raise NotInstalled(f"{' '.join(command[:4])} failed: {(done.stderr or done.stdout).strip()[-500:]}")
    return done.stdout
