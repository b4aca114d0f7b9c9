"""What says more of an assertion that fails."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite(
    *("model", "operated", "mirror", "seen", "play", "rules", "worker"),
    *("stage", "producers", "hands", "supervisors", "operators", "machine"),
)
