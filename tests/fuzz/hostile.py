"""What somebody else may have written: bytes, texts and numbers that nobody expects. And how many of them are tried."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("TEMPOTASK_EXAMPLES", "0"))
"""How many examples each test tries; 0: a few, each test its own number. As for the sequences of the store."""

NUMBERS = ("-1", "0", "1", "2", "1.5", "-0.5", "1e19", "1e400", "-1e400", "inf", "nan", "9" * 18, "9" * 400, "0x10", "")
BYTES = (
    *(b"", b" ", b"\x00", b"\xff\xff\xff", b"\xc1", b"\xa0", b"\x90", b"\x9c\xa0\xa1x\xa1q\xa10"),
    *(b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff", b"\xda\xff\xff", b"\x91" * 3000),
    *(b"\x9c\xa0\xa1x\xa1q\xa1?\xa1n\xcb", b"queue:0:q", b"{}", b"\xe2\x28\xa1", b"x" * 20_000),
)

hostile_bytes = st.one_of(st.sampled_from(BYTES), st.binary(max_size=64))
hostile_words = st.one_of(st.sampled_from([*BYTES, *(number.encode() for number in NUMBERS)]), st.binary(max_size=16))


def tries(number: int) -> settings:
    """So many examples, unless another number is asked for; on a machine of any speed."""
    return settings(
        max_examples=EXAMPLES or number,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )


@st.composite
def damaged(draw: st.DrawFn, good: bytes) -> bytes:
    """Bytes that were right once: cut off, with some of them others, with something between them, or none of it."""
    how = draw(st.sampled_from(("cut", "other", "inserted", "replaced", "doubled")))
    at = draw(st.integers(0, max(0, len(good) - 1)))
    some = draw(st.binary(min_size=1, max_size=4))
    if how == "cut":
        return good[:at]
    if how == "other":
        return good[:at] + some + good[at + len(some) :]
    if how == "inserted":
        return good[:at] + some + good[at:]
    return good + good if how == "doubled" else draw(hostile_bytes)
