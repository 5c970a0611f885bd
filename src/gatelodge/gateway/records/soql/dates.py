"""Date literals of SOQL as half-open ranges of days: TODAY, LAST_WEEK, NEXT_N_DAYS:7. Weeks begin on Sunday, in UTC."""

import datetime as dt

from gatelodge.gateway.records.errors import MALFORMED_QUERY, RecordError
from gatelodge.gateway.records.soql.tree import DateLiteral

DAY = dt.timedelta(days=1)
UNITS = ("DAY", "WEEK", "MONTH", "QUARTER", "YEAR")
LARGEST_N = 5000
NAMED = {"TODAY": ("DAY", 0), "YESTERDAY": ("DAY", -1), "TOMORROW": ("DAY", 1)}
NAMED |= {
    f"{word}_{unit}": (unit, step) for unit in UNITS[1:] for word, step in (("LAST", -1), ("THIS", 0), ("NEXT", 1))
}
NINETY = ("LAST_90_DAYS", "NEXT_90_DAYS")
COUNTED = tuple(f"{word}_N_{unit}S" for unit in UNITS for word in ("LAST", "NEXT"))
AGO = tuple(f"N_{unit}S_AGO" for unit in UNITS)


def days_of(literal: DateLiteral, today: dt.date) -> tuple[dt.date, dt.date]:
    """The first day of the range and the first day after it. Raises ``RecordError`` for an unknown word."""
    if literal.name in NAMED and literal.n is None:
        unit, step = NAMED[literal.name]
        return _unit(unit, step, today), _unit(unit, step + 1, today)
    if literal.name in NINETY and literal.n is None:
        return _several(literal.name[:4], "DAY", 90, today)
    if literal.n is not None and literal.n <= LARGEST_N:
        if literal.name in COUNTED:
            word, _, unit = literal.name.removesuffix("S").partition("_N_")
            return _several(word, unit, literal.n, today)
        if literal.name in AGO:
            unit = literal.name[2:].removesuffix("S_AGO")
            return _unit(unit, -literal.n, today), _unit(unit, 1 - literal.n, today)
    if literal.name in (*COUNTED, *AGO):
        raise RecordError(
            MALFORMED_QUERY, f"write {literal.name}:n, with a number of at most {LARGEST_N} for n.", literal.at
        )
    raise RecordError(
        MALFORMED_QUERY, f"{literal.name} is no value: use a 'string', a date or a date literal.", literal.at
    )


def _several(word: str, unit: str, n: int, today: dt.date) -> tuple[dt.date, dt.date]:
    """LAST_N_DAYS includes today, as in the original; the longer units are whole ones before or after the present."""
    if word == "NEXT":
        return _unit(unit, 1, today), _unit(unit, n + 1, today)
    return _unit(unit, -n, today), today + DAY if unit == "DAY" else _unit(unit, 0, today)


def _unit(unit: str, step: int, today: dt.date) -> dt.date:
    """The first day of the unit that is so many away from the present one."""
    if unit == "DAY":
        return today + step * DAY
    if unit == "WEEK":
        return today - ((today.weekday() + 1) % 7) * DAY + 7 * step * DAY
    if unit == "YEAR":
        return dt.date(max(1, min(9999, today.year + step)), 1, 1)
    months = today.year * 12 + (today.month - 1 if unit == "MONTH" else (today.month - 1) // 3 * 3)
    year, month = divmod(months + step * (1 if unit == "MONTH" else 3), 12)
    return dt.date(max(1, min(9999, year)), month + 1, 1)
