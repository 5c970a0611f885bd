"""A bounded memory of answers that a feed keeps true."""

from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

MOST_CACHED = 10_000


class Cache(Generic[K, V]):
    """A bounded memory of answers. A fill that overlapped an applied change is used once and not kept."""

    def __init__(self, fill: Callable[[K], Awaitable[V]]) -> None:
        self._fill = fill
        self._entries: dict[K, V] = {}
        self._drops = 0

    async def get(self, key: K) -> V:
        """The answer from memory, or from the database."""
        if key in self._entries:
            return self._entries[key]
        drops = self._drops
        value = await self._fill(key)
        # What was read before a change was applied may be older than the change, which nobody would apply again.
        if self._drops == drops:
            if len(self._entries) >= MOST_CACHED:
                self._entries.pop(next(iter(self._entries)))
            self._entries[key] = value
        return value

    def at_hand(self, key: K) -> V | None:
        """The answer, if it is in memory."""
        return self._entries.get(key)

    def drop(self, key: K) -> None:
        """Forget one answer."""
        self._drops += 1
        self._entries.pop(key, None)

    def clear(self) -> None:
        """Forget all answers."""
        self._drops += 1
        self._entries.clear()
