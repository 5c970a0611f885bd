"""What the list of apps says about their use: users, when somebody last used them, and calls by day."""

import msgspec

from gatelodge.core import authorizations, connections
from gatelodge.core.operation import Operation


class Figures(msgspec.Struct, frozen=True):
    """How much an app is used. ``last_used`` is epoch seconds, 0 for never; ``days`` are calls by day, the last one
    today's, and empty where none are counted.
    """

    users: int = 0
    last_used: int = 0
    days: tuple[int, ...] = ()

    @property
    def calls(self) -> int:
        """Calls of all the days."""
        return sum(self.days)


def of_apps(org_id: str, app_ids: tuple[str, ...]) -> Operation[dict[str, Figures]]:
    """The figures of each of these apps."""
    users = yield from authorizations.count_by_app(org_id, app_ids)
    last = yield from connections.last_use_of_apps(org_id, app_ids)
    return {app_id: Figures(users.get(app_id, 0), last.get(app_id, 0)) for app_id in app_ids}
