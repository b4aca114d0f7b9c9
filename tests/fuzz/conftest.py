"""What says more of an assertion that fails."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("fuzz.hostile")
