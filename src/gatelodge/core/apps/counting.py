"""What the list of apps is sorted by and no app's row says by itself: its users, its calls, its last use.

They are counted for the whole deployment about once a minute, by the node that takes the turn: nothing on the way of a
call or a sign-in waits for the order of a list.
"""

import msgspec

from gatelodge.core import authorizations, connections
from gatelodge.core.apps import registry
from gatelodge.core.apps.registry import Counted
from gatelodge.core.calls import counts
from gatelodge.core.operation import Operation, number, one

EVERY = 60
"""Seconds between two counts."""
DAYS = 12
"""Of so many days calls are counted, today among them."""
A_BATCH = 100
MOST_ACTIVE = 2000
LATELY = 600
"""Seconds for which an app whose user took back what they allowed is counted first."""


class Figures(msgspec.Struct, frozen=True):
    """How much an app is used. ``last_used`` is epoch seconds, 0 for never; ``days`` are its calls by day
    (UTC), today at the end.
    """

    users: int = 0
    last_used: int = 0
    days: tuple[int, ...] = ()

    @property
    def calls(self) -> int:
        """Calls of all the days."""
        return sum(self.days)


def figures(org_id: str, app_ids: tuple[str, ...], now: int) -> Operation[dict[str, Figures]]:
    """The figures of each of these apps, as they are now."""
    users = yield from authorizations.count_by_app(org_id, app_ids)
    last = yield from connections.last_use_of_apps(org_id, app_ids)
    days = yield from counts.sparkline(org_id, app_ids, until=now, days=DAYS)
    return {each: Figures(users.get(each, 0), last.get(each, 0), tuple(days[each])) for each in app_ids}


def take_turn(now: int) -> Operation[bool]:
    """True for exactly one caller each time a count is due."""
    sql = "UPDATE app_countings SET next_at = :next WHERE id = 1 AND next_at <= :now RETURNING id AS n"
    return (yield from one(sql, number, next=now + EVERY, now=now)) is not None


def active(org_id: str, now: int) -> Operation[tuple[str, ...]]:
    """The apps that were called, signed in to or left lately, at most ``MOST_ACTIVE`` of each kind."""
    called = yield from counts.apps_since(org_id, now // 3600 - 1, limit=MOST_ACTIVE)
    left = yield from authorizations.apps_left_since(org_id, now - LATELY, limit=MOST_ACTIVE)
    return tuple(dict.fromkeys((*called, *left)))


def differing(org_id: str, app_ids: tuple[str, ...], now: int) -> Operation[list[Counted]]:
    """Those of these apps that are counted anew otherwise than they are listed; at most ``A_BATCH`` are looked at."""
    wanted = app_ids[:A_BATCH]
    found = yield from figures(org_id, wanted, now)
    made = {each: Counted(each, found[each].users, found[each].calls, found[each].last_used) for each in wanted}
    listed = yield from registry.counted(org_id, wanted)
    return [made[each.app_id] for each in listed if made[each.app_id] != each]


def note(org_id: str, found: list[Counted]) -> Operation[None]:
    """List these apps by what was counted."""
    for each in sorted(found, key=lambda counted: counted.app_id):
        yield from registry.set_counted(org_id, each)
