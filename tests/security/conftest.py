"""Commands that are run as they were typed, as for the tests of commands."""

from __future__ import annotations

from cli.conftest import bare

__all__ = ["bare"]
