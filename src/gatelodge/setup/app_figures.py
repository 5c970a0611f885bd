"""What the list of apps says about their use: users, when somebody last used them, and calls by day."""

import msgspec

from gatelodge.core import authorizations, connections
from gatelodge.core.calls import counts
from gatelodge.core.operation import Operation


class Figures(msgspec.Struct, frozen=True):
    """How much an app is used. ``last_used`` is epoch seconds, 0 for never; ``days`` are its calls by day, the last
    24 hours at the end.
    """

    users: int = 0
    last_used: int = 0
    days: tuple[int, ...] = ()

    @property
    def calls(self) -> int:
        """Calls of all the days."""
        return sum(self.days)


def of_apps(org_id: str, app_ids: tuple[str, ...], now: int) -> Operation[dict[str, Figures]]:
    """The figures of each of these apps, of the last 12 days."""
    users = yield from authorizations.count_by_app(org_id, app_ids)
    last = yield from connections.last_use_of_apps(org_id, app_ids)
    days = yield from counts.sparkline(org_id, app_ids, until=now)
    return {each: Figures(users.get(each, 0), last.get(each, 0), tuple(days[each])) for each in app_ids}
