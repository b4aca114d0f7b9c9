"""That a text which holds URLs is put out without their passwords, however they are written."""

from __future__ import annotations

import time

import pytest

from tempotask.pool.failure import describe
from tempotask.store.address import without_secrets

LONG = "x" * 2000


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("unix:///s?password=aa&ssl_password=bb", "unix:///s?password=…&ssl_password=…"),
        ("'unix:///s?ssl_password=a'b&db=1'", "'unix:///s?ssl_password=…&db=1'"),
        ("a redis://u:p@h b rediss://v:q@i c", "a redis://…@h b rediss://…@i c"),
        ("redis://u:p'q@h is away", "redis://…@h is away"),
        ('"redis://u:p"q<r>@h"', '"redis://…@h"'),
        ("redis://u:p'q@r@h", "redis://…@h"),
        ("redis://u:p q@h is away", "redis://…@h is away"),
        (f"redis://u:{LONG}@h", "redis://…@h"),
        (f"redis://{LONG}@h", "redis://…@h"),
        (f"unix:///{LONG}?password={LONG}&db=1", f"unix:///{LONG}?password=…&db=1"),
        ("redis://u:1234@h", "redis://…@h"),
        ("redis://u:1234/5@h", "redis://…@h"),
    ],
)
def test_no_password_is_left_however_it_is_written(text: str, left: str) -> None:
    assert without_secrets(text) == left
    assert without_secrets(f"first\n{text}\nlast") == f"first\n{left}\nlast"
    assert "p'q" not in describe(ValueError(text)).message
    assert LONG not in describe(ValueError(text)).message.replace(f"unix:///{LONG}", "")


@pytest.mark.parametrize(
    "text",
    [
        "redis://host:6379/0 is away: ask me@example.org",
        "db='redis://host:6379', mail='me@example.org'",
        '{"db":"redis://[::1]:6379","mail":"me@example.org"}',
        "https://example.org/a: ask me@example.org",
        "redis://u:\nask me@example.org",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert without_secrets(text) == text


@pytest.mark.parametrize("part", ["redis://a:", "redis://a:1 ", "redis://", "@redis://a:'", "?password=", "a://b'"])
def test_a_long_text_is_looked_through_in_one_go(part: str) -> None:
    begun = time.process_time()
    for text in (part * 20_000, part * 20_000 + " @", "@" + part * 20_000):
        without_secrets(text)
    assert time.process_time() - begun < 10, "a look at each place that goes on to the end takes minutes"
