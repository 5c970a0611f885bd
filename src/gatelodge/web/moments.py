"""Times, numbers and small charts as pages show them: in the reader's language, and in their time zone, which is named."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

import msgspec
from babel.core import Locale
from babel.dates import format_date, format_skeleton, format_timedelta
from babel.numbers import format_decimal

from gatelodge import words

A_LITTLE = 60
"""Seconds within which something happened just now."""
A_WHILE = 30 * 86400
"""Seconds after which a date says more than how long ago it was."""


class Moment(msgspec.Struct, frozen=True):
    """A time: for programs (ISO 8601), in full with its zone, and as people say it."""

    iso: str
    absolute: str
    relative: str


def moment(at: int, now: int) -> Moment:
    """An epoch second as the reader sees it."""
    absolute = in_full(at)
    if abs(at - now) < A_LITTLE:
        relative = words._("just now")
    elif abs(at - now) < A_WHILE:
        relative = format_timedelta(timedelta(seconds=at - now), add_direction=True, locale=_locale())
    else:
        relative = day(at)
    return Moment(datetime.fromtimestamp(at, UTC).isoformat(), absolute, relative)


def in_full(at: int) -> str:
    """An epoch second with its day, its minute and the name of the zone: Nov 24, 2026, 05:58 (Europe/Dublin)."""
    local = datetime.fromtimestamp(at, zone())
    return f"{format_date(local, 'medium', _locale())}, {local:%H:%M} ({local.tzinfo})"


def day(at: int) -> str:
    """The day of an epoch second: Nov 24, 2026."""
    return format_date(datetime.fromtimestamp(at, zone()), "medium", _locale())


def number(value: float) -> str:
    """A number with the reader's separators: 12,408."""
    return format_decimal(value, locale=_locale())


def zone() -> ZoneInfo:
    """The reader's time zone; UTC for one that nobody knows."""
    name = words.reader().zone
    return ZoneInfo(name if name in zones() else "UTC")


def zone_in_words(now: int) -> str:
    """The reader's time zone and its distance to UTC now: Europe/Dublin (UTC+0)."""
    offset = datetime.fromtimestamp(now, zone()).utcoffset() or timedelta()
    hours, minutes = divmod(abs(int(offset.total_seconds())) // 60, 60)
    sign = "-" if offset < timedelta() else "+"
    return f"{zone().key} (UTC{sign}{hours}{f':{minutes:02}' if minutes else ''})"


@lru_cache(maxsize=1)
def zones() -> tuple[str, ...]:
    """Every time zone that a reader may choose, by name."""
    return tuple(sorted(name for name in available_timezones() if "/" in name or name == "UTC"))


class Spark(msgspec.Struct, frozen=True):
    """A line of a few values as SVG draws it in a box: the line's points, the area's, and the last value's place."""

    line: str
    area: str
    x: float
    y: float


def spark(values: tuple[float, ...], width: int = 84, height: int = 28) -> Spark:
    """The line of these values, from left to right; none of them is a flat line at the bottom."""
    shown = values if len(values) > 1 else (*values, 0.0, 0.0)[:2]
    most = max(*shown, 1.0)
    room, step = height - 6, (width - 6) / (len(shown) - 1)
    points = [(round(3 + n * step, 1), round(3 + room * (1 - value / most), 1)) for n, value in enumerate(shown)]
    line = " ".join(f"{x},{y}" for x, y in points)
    return Spark(line, f"3,{height} {line} {points[-1][0]},{height}", *points[-1])


def _locale() -> Locale:
    return _locale_of(words.reader().language)


@lru_cache(maxsize=8)
def _locale_of(language: str) -> Locale:
    return Locale.parse("en" if language == words.PSEUDO else language)


def clock(at: int) -> str:
    """The minute of an epoch second in the reader's zone: 05:58."""
    return f"{datetime.fromtimestamp(at, zone()):%H:%M}"


def short_day(at: int) -> str:
    """The day of an epoch second without its year: Nov 24."""
    return format_skeleton("MMMd", datetime.fromtimestamp(at, zone()), locale=_locale())
