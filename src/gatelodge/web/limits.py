"""How much one caller may send: a bucket for each app at each address, one for each address, and one for each user's
calls through an app, on each node.

In memory: to count in the database would cost what the limit is there to save. A bucket holds a minute's worth, so that
a burst passes, and fills up evenly.
"""

import math

from gatelodge.web.addresses import network_of
from gatelodge.web.errors import TooMany

MOST_BUCKETS = 50_000
"""The one that was used longest ago goes first: a flood from many addresses costs memory to a bound, and no more."""
APPS_PER_ADDRESS = 10
"""How many apps' worth one address may send: a client in a cloud works for many people from one address."""
LONGEST_KEY = 128
MINUTE = 60_000

Key = tuple[str, ...]


class RateLimits:
    """Counts requests by app and address. ``per_minute`` 0: counts nothing and lets everything pass."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._buckets: dict[Key, tuple[float, int]] = {}

    def check(self, org_id: str, client_id: str, address: str, now_ms: int) -> None:
        """Count one request of this app from this address. Raises ``TooMany``.

        The address comes first, so that one that makes up a new app for each request is stopped too.
        """
        if not self._per_minute:
            return
        caller = network_of(address)
        self._take((org_id, caller), self._per_minute * APPS_PER_ADDRESS, now_ms)
        self._take((org_id, caller, client_id[:LONGEST_KEY]), self._per_minute, now_ms)

    def check_calls(self, caller: Key, per_minute: int, now_ms: int) -> None:
        """Count one call of this org, app and user, whose app's policies say how many; 0 is no limit. Raises ``TooMany``."""
        if per_minute:
            self._take(("calls", *caller), per_minute, now_ms)

    def _take(self, key: Key, per_minute: int, now_ms: int) -> None:
        level, at = self._buckets.pop(key, (float(per_minute), now_ms))
        level = min(float(per_minute), level + max(0, now_ms - at) * per_minute / MINUTE)
        if len(self._buckets) >= MOST_BUCKETS:
            self._buckets.pop(next(iter(self._buckets)))
        self._buckets[key] = (max(0.0, level - 1) if level >= 1 else level, now_ms)
        if level < 1:
            raise TooMany(math.ceil((1 - level) * MINUTE / per_minute / 1000))
