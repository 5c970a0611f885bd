"""What was written down a short while ago, so that it need not be written at every request."""

MOST_NOTED = 10_000


class Noted:
    """Remembers for a minute, in memory and bounded: a note too many costs a row, a note too few nothing."""

    def __init__(self, seconds: int = 60) -> None:
        self._seconds = seconds
        self._at: dict[str, int] = {}

    def is_due(self, key: str, now: int) -> bool:
        """True once a minute for each key; ``now`` is in epoch seconds."""
        if now - self._at.get(key, 0) < self._seconds:
            return False
        if len(self._at) >= MOST_NOTED:
            self._at.pop(next(iter(self._at)))
        self._at[key] = now
        return True
