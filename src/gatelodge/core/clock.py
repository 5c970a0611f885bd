"""The node's time: its own clock, corrected by its offset to the database, never stepping back."""

from collections.abc import Callable


class Clock:
    """``now`` in epoch seconds, ``now_ms`` in epoch milliseconds, read from the source it is given."""

    def __init__(self, read: Callable[[], float]) -> None:
        self._read = read
        self._offset = 0.0
        self._latest = 0.0

    def correct(self, database_time: float) -> None:
        """Follow the database's clock, measured just now in epoch seconds (each heartbeat does)."""
        self._offset = database_time - self._read()

    def exact(self) -> float:
        """Epoch seconds, never less than an answer given before."""
        self._latest = max(self._latest, self._read() + self._offset)
        return self._latest

    def now(self) -> int:
        """Epoch seconds."""
        return int(self.exact())

    def now_ms(self) -> int:
        """Epoch milliseconds."""
        return int(self.exact() * 1000)
