"""What calls add up to: counters by app, server and hour, and by app and user, so that no page counts millions of rows.

How long calls took is kept as a small histogram: a quantile is right to the next bound above it.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from gatelodge.core.operation import Operation, execute, many, one, remove_some, text

if TYPE_CHECKING:
    from gatelodge.core.calls.records import Call

BOUNDS_MS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 30_000)
"""The upper bounds of the histogram in milliseconds; what took longer stands in one more column."""
BOUNDS_US = tuple(bound * 1000 for bound in BOUNDS_MS)
BELOW = tuple(f"below_{n}" for n in range(len(BOUNDS_MS) + 1))
COUNTED = ("calls", "errors", "sign_ins", *BELOW)
COUNTED_COLUMNS = ", ".join(COUNTED)
SUMS = ", ".join(f"CAST(SUM({name}) AS BIGINT) AS {name}" for name in COUNTED)
COUNTED_METHODS = ("tools/call", "resources/read", "prompts/get")
"""What an app does; lists, pings and beginnings are written down and not counted."""
MOST_HOURS = 24 * 400
KEEP_HOURS = 24 * 400
A_DAY = 86_400
"""Seconds."""
MOST_APPS = 500

ADD = (
    f"INSERT INTO call_counts (org_id, app_id, server, hour, {COUNTED_COLUMNS}) VALUES (:org_id, :app_id, :server,"
    f" :hour, {', '.join(f':{name}' for name in COUNTED)}) ON CONFLICT (org_id, app_id, hour, server) DO UPDATE SET "
    + ", ".join(f"{name} = call_counts.{name} + excluded.{name}" for name in COUNTED)
)
ADD_USER = (
    "INSERT INTO call_users (org_id, app_id, user_id, calls, errors, last_at) VALUES (:org_id, :app_id, :user_id,"
    " :calls, :errors, :last_at) ON CONFLICT (org_id, app_id, user_id) DO UPDATE SET"
    " calls = call_users.calls + excluded.calls, errors = call_users.errors + excluded.errors,"
    " last_at = CASE WHEN excluded.last_at > call_users.last_at THEN excluded.last_at ELSE call_users.last_at END"
)


ADD_DAY = (
    "INSERT INTO call_days (org_id, app_id, day, calls) VALUES (:org_id, :app_id, :day, :calls)"
    " ON CONFLICT (org_id, app_id, day) DO UPDATE SET calls = call_days.calls + excluded.calls"
)


class Hour(msgspec.Struct, frozen=True, kw_only=True):
    """What happened between two moments, ``hour`` (epoch hours) the first of them; ``below`` is the histogram."""

    hour: int
    calls: int = 0
    errors: int = 0
    sign_ins: int = 0
    below: tuple[int, ...] = ()

    @property
    def p95_ms(self) -> int:
        """Within how many milliseconds 95 of 100 calls were answered; 0 without a call."""
        return quantile(self.below, 0.95)


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """How much one user used one app since its first call; ``last_at`` is epoch seconds."""

    app_id: str
    user_id: str
    calls: int
    errors: int
    last_at: int


def bucket(duration_us: int) -> int:
    """The column of the histogram in which a call of this length counts."""
    for n, bound in enumerate(BOUNDS_US):
        if duration_us <= bound:
            return n
    return len(BOUNDS_US)


def quantile(below: tuple[int, ...], part: float) -> int:
    """The bound, in milliseconds, below which this part of the calls stayed; 0 without a call."""
    total, passed = sum(below), 0
    for bound, n in zip((*BOUNDS_MS, 2 * BOUNDS_MS[-1]), below, strict=False):
        passed += n
        if total and passed >= part * total:
            return bound
    return 0


def add(org_id: str, calls: "list[Call]", sign_ins: dict[tuple[str, int], int]) -> Operation[None]:
    """Count these. The rows are taken in one order, so that two nodes never wait for each other in a ring."""
    hours: dict[tuple[str, int, str], list[int]] = {}
    days: dict[tuple[str, int], int] = {}
    people: dict[tuple[str, str], list[int]] = {}
    for call in calls:
        if call.method not in COUNTED_METHODS:
            continue
        is_error = call.is_error
        counted = hours.setdefault((call.app_id, call.at // 3_600_000, call.server), [0] * len(COUNTED))
        counted[0] += 1
        counted[1] += is_error
        counted[3 + bucket(call.duration_us)] += 1
        day = (call.app_id, call.at // (1000 * A_DAY))
        days[day] = days.get(day, 0) + 1
        person = people.setdefault((call.app_id, call.user_id), [0, 0, 0])
        person[0] += 1
        person[1] += is_error
        person[2] = max(person[2], call.at // 1000)
    for (app_id, hour), n in sign_ins.items():
        hours.setdefault((app_id, hour, ""), [0] * len(COUNTED))[2] += n
    for (app_id, hour, server), counted in sorted(hours.items()):
        named = dict(zip(COUNTED, counted, strict=True))
        yield from execute(ADD, org_id=org_id, app_id=app_id, server=server, hour=hour, **named)
    for (app_id, day), n in sorted(days.items()):
        yield from execute(ADD_DAY, org_id=org_id, app_id=app_id, day=day, calls=n)
    for (app_id, user_id), (total, errors, last_at) in sorted(people.items()):
        yield from execute(
            ADD_USER, org_id=org_id, app_id=app_id, user_id=user_id, calls=total, errors=errors, last_at=last_at
        )


def of_app(org_id: str, app_id: str, since: int, length: int = 1) -> Operation[list[Hour]]:
    """An app's spans of ``length`` hours from the hour ``since`` on in which something happened, over all of its servers.
    The database adds them up.
    """
    return (
        yield from many(
            f"SELECT :since + span * :length AS hour, {SUMS} FROM (SELECT (hour - :since) / :length AS span,"
            f" {COUNTED_COLUMNS} FROM call_counts WHERE org_id = :org_id AND app_id = :app_id AND hour >= :since) spans"
            " GROUP BY span ORDER BY span LIMIT :limit",
            _hour,
            org_id=org_id,
            app_id=app_id,
            since=since,
            length=length,
            limit=MOST_HOURS,
        )
    )


def _hour(*, hour: int, calls: int, errors: int, sign_ins: int, **below: int) -> Hour:
    return Hour(hour=hour, calls=calls, errors=errors, sign_ins=sign_ins, below=tuple(below[name] for name in BELOW))


def days_of(hours: Iterable[Hour], first: int, length: int, parts: int) -> list[Hour]:
    """Hours put together: ``parts`` spans of ``length`` hours each from the hour ``first``, those of nothing too."""
    spans = [[0] * len(COUNTED) for _ in range(parts)]
    for each in hours:
        n = (each.hour - first) // length
        if 0 <= n < parts:
            for i, value in enumerate((each.calls, each.errors, each.sign_ins, *each.below)):
                spans[n][i] += value
    return [
        Hour(hour=first + n * length, calls=span[0], errors=span[1], sign_ins=span[2], below=tuple(span[3:]))
        for n, span in enumerate(spans)
    ]


def sparkline(org_id: str, app_ids: Iterable[str], *, until: int, days: int = 12) -> Operation[dict[str, list[int]]]:
    """Calls of each of these apps by day of UTC, the last one that of ``until`` (epoch seconds); apps without a call have
    zeros. At most ``MOST_APPS`` apps.
    """
    wanted = list(dict.fromkeys(app_ids))[:MOST_APPS]
    found = {app_id: [0] * days for app_id in wanted}
    if not wanted:
        return found
    first = until // A_DAY - days + 1
    names = {f"app_{n}": app_id for n, app_id in enumerate(wanted)}
    rows = yield from many(
        "SELECT app_id, day, calls FROM call_days WHERE org_id = :org_id"
        f" AND app_id IN ({', '.join(f':{name}' for name in names)}) AND day >= :first AND day < :last LIMIT :limit",
        _counted,
        org_id=org_id,
        first=first,
        last=first + days,
        limit=len(wanted) * days,
        **names,
    )
    for app_id, day, calls in rows:
        found[app_id][day - first] = calls
    return found


def _counted(app_id: str, day: int, calls: int) -> tuple[str, int, int]:
    return app_id, day, calls


def apps_since(org_id: str, hour: int, *, limit: int) -> Operation[list[str]]:
    """Apps that were called or signed in to since this epoch hour."""
    return (
        yield from many(
            "SELECT DISTINCT app_id AS value FROM call_counts WHERE hour >= :hour AND org_id = :org_id LIMIT :limit",
            text,
            org_id=org_id,
            hour=hour,
            limit=limit,
        )
    )


def usage(
    org_id: str, *, app_id: str = "", after: tuple[str, str] = ("", ""), limit: int = 50
) -> Operation[list[Usage]]:
    """How much each user used each app, or one app, in the order of app and user; ``after``: those of the last row."""
    only = " AND app_id = :app_id" if app_id else ""
    named = {"app_id": app_id} if app_id else {}
    return (
        yield from many(
            f"SELECT app_id, user_id, calls, errors, last_at FROM call_users WHERE org_id = :org_id{only}"
            " AND (app_id, user_id) > (:after_app, :after_user) ORDER BY app_id, user_id LIMIT :limit",
            Usage,
            org_id=org_id,
            after_app=after[0],
            after_user=after[1],
            limit=limit,
            **named,
        )
    )


def since(org_id: str, hour: int) -> Operation[tuple[int, int]]:
    """Calls and errors of the whole org from this epoch hour on."""
    found = yield from one(
        "SELECT CAST(COALESCE(SUM(calls), 0) AS BIGINT) AS calls, CAST(COALESCE(SUM(errors), 0) AS BIGINT) AS errors"
        " FROM call_counts WHERE org_id = :org_id AND hour >= :hour",
        _both,
        org_id=org_id,
        hour=hour,
    )
    return found or (0, 0)


def _both(calls: int, errors: int) -> tuple[int, int]:
    return calls, errors


def forget_counts(now: int) -> Operation[bool]:
    """Remove some of the counters older than 400 days. True: there may be more."""
    then = now // 3600 - KEEP_HOURS
    more = yield from remove_some(
        "DELETE FROM call_counts WHERE (org_id, app_id, hour, server) IN (SELECT org_id, app_id, hour, server"
        " FROM call_counts WHERE hour < :then ORDER BY hour LIMIT :limit) RETURNING hour",
        then=then,
    )
    of_days = yield from remove_some(
        "DELETE FROM call_days WHERE (org_id, app_id, day) IN (SELECT org_id, app_id, day FROM call_days"
        " WHERE day < :then ORDER BY day LIMIT :limit) RETURNING day",
        then=then // 24,
    )
    return more or of_days
