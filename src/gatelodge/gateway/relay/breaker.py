"""A circuit breaker: an upstream that fails again and again is left alone for a while, then tried with one request."""

import msgspec

MOST_FAILURES = 5
"""In a row, after which nobody is sent there."""
FIRST_PAUSE = 2.0
LONGEST_PAUSE = 60.0
"""Seconds. A pause doubles each time that the one request fails too."""


class Breaker(msgspec.Struct):
    """Counts what fails in a row. Times are of a clock that only goes forward, in seconds."""

    failures: int = 0
    pause: float = FIRST_PAUSE
    shut_until: float = 0.0
    is_trying: bool = False

    def wait(self, now: float) -> float:
        """How many seconds a request must not be sent for; 0: send it, and tell how it went."""
        if self.failures < MOST_FAILURES:
            return 0.0
        if now < self.shut_until:
            return self.shut_until - now
        if self.is_trying:
            return 1.0
        self.is_trying = True
        return 0.0

    def succeeded(self) -> None:
        """An answer came, whatever it says."""
        if self.failures:
            self.failures, self.pause, self.is_trying = 0, FIRST_PAUSE, False

    def failed(self, now: float) -> None:
        """No answer came, or one that says that the upstream is down."""
        self.failures += 1
        if self.failures >= MOST_FAILURES:
            if self.is_trying:
                self.pause = min(LONGEST_PAUSE, self.pause * 2)
            self.shut_until, self.is_trying = now + self.pause, False

    def gave_up(self) -> None:
        """The request that was sent was called off before it was known how it went."""
        self.is_trying = False
