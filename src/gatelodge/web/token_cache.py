"""Tokens for upstreams in this node's memory: one fetch for all who come while it is under way, kept until near its end."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

MOST_KEPT = 10_000
EARLY = 30
"""Seconds before its end from which a token is no longer used: a call takes time."""
UNKNOWN_LIFETIME = 300
"""Seconds that a token is kept whose issuer doesn't say how long it lives."""


class Fetched(msgspec.Struct, frozen=True):
    """A value for a header, and when it ends (epoch seconds; 0: unknown)."""

    value: str
    ends_at: int = 0

    def __repr__(self) -> str:
        return f"Fetched({self.ends_at})"


class Kept(msgspec.Struct, frozen=True):
    """A value, until when it is used, and what this node had applied of the feed when it was fetched."""

    value: str
    until: int
    applied: int


class TokenCache:
    """Values by key. A change that this node applies makes all of them be looked up again: a secret or a grant may be
    among it.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[str, ...], Kept] = {}
        self._under_way: dict[tuple[str, ...], asyncio.Task[str]] = {}

    async def get(
        self,
        key: tuple[str, ...],
        fetch: Callable[[], Awaitable[Fetched]],
        *,
        now: int,
        applied: int,
        survives_changes: bool = False,
        refused: str = "",
    ) -> str:
        """The value of this key. ``refused`` is one that the upstream took no more: it isn't given again.
        ``survives_changes``: the feed says nothing about this value.

        Raises what ``fetch`` raises, for all who waited for it.
        """
        kept = self._kept.get(key)
        is_good = kept is not None and kept.until > now and (survives_changes or kept.applied == applied)
        if kept is not None and is_good and kept.value != refused:
            return kept.value
        # What was begun before a change may be older than the change.
        turn = key if survives_changes else (*key, str(applied))
        task = self._under_way.get(turn)
        if task is None:
            task = asyncio.create_task(self._fetch(key, turn, fetch, now, applied), name="upstream-token")
            self._under_way[turn] = task
        # Shielded: a caller who goes away doesn't take the token from the others.
        return await asyncio.shield(task)

    async def _fetch(
        self,
        key: tuple[str, ...],
        turn: tuple[str, ...],
        fetch: Callable[[], Awaitable[Fetched]],
        now: int,
        applied: int,
    ) -> str:
        try:
            fetched = await fetch()
            until = max(now + 1, fetched.ends_at - EARLY) if fetched.ends_at else now + UNKNOWN_LIFETIME
            if len(self._kept) >= MOST_KEPT:
                self._kept.pop(next(iter(self._kept)))
            self._kept[key] = Kept(fetched.value, until, applied)
            return fetched.value
        finally:
            del self._under_way[turn]
