"""When a schedule fires: what a user writes, checked where it is written, and the times that follow from it.

Cron patterns are cronsim's business: it is small, has no dependencies, reads six fields with the seconds first, and
treats the hours around a change of the clocks as Debian's cron does (a time that is left out runs right after the gap,
one that comes twice runs once), though only of five fields: of six, we count the seconds. Of a pattern that is
wrong it tells the field at most: why, and a step that is longer than its field, are our business.

Times are whole milliseconds since 1970, as they are stored.
"""

from __future__ import annotations

import itertools
import operator
import re
import time
import zoneinfo
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Any, cast

import msgspec
from cronsim import CronSim, CronSimError

from tempotask.durations import duration
from tempotask.errors import InvalidOptions
from tempotask.names import nearest, short

MINUTE = 60_000
FIELDS = (
    ("second", 0, 59),
    ("minute", 0, 59),
    ("hour", 0, 23),
    ("day of the month", 1, 31),
    ("month", 1, 12),
    ("day of the week", 0, 7),
)
LONGEST_PATTERN = 200
"""Characters of a pattern at most."""
SHORTEST = 0.01
"""Seconds: `every` is not less."""
MOST_FIRINGS = 10**12
"""`limit` is not more: a firing every 10 ms for three hundred years."""


class Repeat(msgspec.Struct, frozen=True, omit_defaults=True):
    """When a schedule fires: by a cron pattern, or at multiples of so many seconds.

    `pattern`: `minute hour day month weekday`, or six fields with the second first, in the time zone `tz`, which
    `every` does not take.
    `every`: seconds, in whole milliseconds, or a `timedelta`: fires at multiples of it since 1970, by the server's
    clock.
    `limit`: how many firings there are in all; then the schedule goes.
    `jitter`: seconds, or a `timedelta`: each firing is delayed by a random part of it.
    `overlap`: whether a firing takes place while the job of the one before still waits or runs; else it is skipped.
    `catch_up`: whether all firings that were missed take place, one after the other, and not only the latest of them;
    at any time the latest 1,000 that are due: the oldest of more are let go.

    Raises:
        InvalidOptions: a pattern that is none or can never fire, with the field that is wrong; a zone that nobody
            knows, with the nearest; a number that makes no sense.
    """

    pattern: str | None = None
    every: float | timedelta | None = None
    tz: str = "UTC"
    limit: int | None = None
    jitter: float | timedelta = 0.0
    overlap: bool = False
    catch_up: bool = False

    def __post_init__(self) -> None:
        if (self.pattern is None) == (self.every is None):
            raise InvalidOptions('Repeat takes a pattern, as in "*/5 * * * *", or every=seconds: give one of them')
        for name in ("overlap", "catch_up"):
            if not isinstance(getattr(self, name), bool):
                raise InvalidOptions(f"{name}={getattr(self, name)!r}: give True or False")
        set_ = msgspec.structs.force_setattr
        if self.limit is not None:
            set_(self, "limit", _limit(self.limit))
        set_(self, "jitter", duration("jitter", self.jitter))
        zone = _zone(self.tz)
        if self.every is not None:
            set_(self, "every", duration("every", self.every, least=SHORTEST))
            if zone is not UTC:
                raise InvalidOptions(f"tz={self.tz!r} means nothing to every; leave it out, or give a pattern")
        else:
            _check_pattern(self.pattern, zone)

    @property
    def times(self) -> tuple[object, ...]:
        """What its firings' times follow from."""
        return self.pattern, self.every, self.tz

    def after(self, moment: int) -> int | None:
        """The first firing after that time; None when there is none any more."""
        return next(self.following(moment), None)

    def following(self, moment: int) -> Iterator[int]:
        """The firings after that time, one after the other."""
        if self.every is not None:
            step = self._step
            yield from itertools.count((moment // step + 1) * step, step)
        else:
            assert self.pattern is not None
            for fires in _ticks(self.pattern, _zone(self.tz), moment):
                if fires > moment:
                    yield fires
                    moment = fires

    def latest(self, first: int, now: int) -> int:
        """The last firing up to now; `first`, which is one, if there is none later."""
        if self.every is not None:
            return max(first, now // self._step * self._step)
        # The firing after a time comes later, the later that time is: so the time can be found by halving.
        low, high = first - 1, now
        while high - low > 1:
            middle = (low + high) // 2
            fires = self.after(middle)
            if fires is not None and fires <= now:
                low = middle
            else:
                high = middle
        return max(first, self.after(low) or first)

    @property
    def _step(self) -> int:
        assert isinstance(self.every, float)
        return round(self.every * 1000)

    def __str__(self) -> str:
        return self.pattern if self.pattern is not None else f"every {self.every:g} s"


def _limit(value: object) -> int:
    try:
        number = 0 if isinstance(value, bool) else operator.index(cast(Any, value))
    except TypeError:
        number = 0
    if not 1 <= number <= MOST_FIRINGS:
        raise InvalidOptions(f"limit={value!r}: give a whole number from 1 to {MOST_FIRINGS:,}, or None")
    return int(number)


def checked(name: str, value: object) -> Repeat:
    """A `Repeat`, made of a pattern if it is none yet."""
    if isinstance(value, Repeat):
        return value
    if isinstance(value, str):
        try:
            return Repeat(value)
        except InvalidOptions as error:
            raise InvalidOptions(f"{name}: {error}") from None
    raise InvalidOptions(f'{name}={value!r}: give a pattern, as in "*/5 * * * *", or Repeat(…)')


def _ticks(pattern: str, zone: tzinfo, moment: int) -> Iterator[int]:
    minutes = " ".join(pattern.split()[-5:])
    try:
        # From before the minute that it is, since what comes next may be in that.
        start = datetime.fromtimestamp(moment // MINUTE * 60 - 1, zone)
        seconds = sorted(CronSim(pattern, start).seconds)
        for tick in CronSim(minutes, start):
            for second in seconds:
                yield (int(tick.timestamp()) + second) * 1000
    except (OverflowError, ValueError):
        # The year 10,000.
        return


def _zone(name: object) -> tzinfo:
    if not isinstance(name, str):
        raise InvalidOptions(f'tz={name!r}: give the name of a time zone, as in tz="Europe/Berlin"')
    # Needs no data, which may not be there.
    return UTC if name == "UTC" else _named_zone(name)


@lru_cache(maxsize=128)
def _named_zone(name: str) -> tzinfo:
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        pass
    known = zoneinfo.available_timezones()
    if not known:
        raise InvalidOptions(f"tz={name!r}: this machine has no time zones; install the package tzdata")
    lower = {zone.lower(): zone for zone in known} | {zone.rpartition("/")[2].lower(): zone for zone in known}
    # The abbreviation of a summer time, as CEST, is near to zones that are meant by nobody.
    near = None if re.fullmatch("[A-Z]{3,4}", name) else nearest(name.lower(), lower)
    hint = f"did you mean {lower[near]!r}?" if near else "give a name like Europe/Berlin"
    raise InvalidOptions(f"there is no time zone {name!r}; {hint}")


# -- what is wrong with a pattern


def _check_pattern(pattern: object, zone: tzinfo) -> None:
    if not isinstance(pattern, str) or len(pattern) > LONGEST_PATTERN:
        raise InvalidOptions(f'pattern={short(pattern)}: give a text, as in "*/5 * * * *", of up to {LONGEST_PATTERN}')
    fields = pattern.split()
    if len(fields) not in (5, 6):
        raise InvalidOptions(
            f"pattern {pattern!r} has {len(fields)} field{'s' * (len(fields) != 1)}; give five, minute hour day month "
            'weekday, as in "30 4 * * 1-5", or six with the second first'
        )
    for (name, least, most), field in zip(FIELDS[-len(fields) :], fields, strict=True):
        alone = ["*"] * 6
        alone[[known for known, _, _ in FIELDS].index(name)] = field
        if not _understood(" ".join(alone)) or _steps_beyond(field, least, most):
            raise InvalidOptions(f"pattern {pattern!r}, {name}: {_reason(name, field, least, most)}")
    # Not so much after 1970 that its whole cycle of leap years has no room, and the same wherever it is asked.
    if not _understood(pattern) or next(_ticks(pattern, zone, int(time.time()) * 1000), None) is None:
        raise InvalidOptions(f"pattern {pattern!r} never fires: there is no such day; mend the day or the month")


def _understood(pattern: str) -> bool:
    try:
        CronSim(pattern, datetime(2000, 1, 1, tzinfo=UTC))
    except (CronSimError, AssertionError, ValueError, TypeError):
        return False
    return True


def _steps_beyond(field: str, least: int, most: int) -> bool:
    """Whether a step is larger than the whole field: such a one is taken for a longer time than it means."""
    return any(int(step) > most - least + 1 for step in re.findall(r"/(\d+)", field))


def _reason(name: str, field: str, least: int, most: int) -> str:
    """Why a field is not understood, in a few words."""
    for part in field.split(","):
        if not part:
            return f"{field} has an empty part; give numbers with one comma between them"
        span, slash, step = part.partition("/")
        if slash and not (step.isascii() and step.isdigit() and int(step)):
            return f"{part} has no step; give a whole number of at least 1 behind the /"
        if slash and int(step) > most - least + 1:
            return f"{part} steps beyond {least}-{most}; give a step of at most {most - least + 1}"
        for number in re.findall(r"\d+", span.partition("#")[0]):
            if not least <= int(number) <= most:
                return f"{number} is not within {least}-{most}"
        if match := re.fullmatch(r"(\d+|[A-Za-z]{3})-(\d+|[A-Za-z]{3})", span):
            if not _understood_in(name, match[1]) or not _understood_in(name, match[2]):
                continue
            return f"{span} ends before it begins"
    return f"{field!r} is not understood; give *, {least}-{most}, a list, a range or a step as in */2"


def _understood_in(name: str, field: str) -> bool:
    alone = ["*"] * 6
    alone[[known for known, _, _ in FIELDS].index(name)] = field
    return _understood(" ".join(alone))
