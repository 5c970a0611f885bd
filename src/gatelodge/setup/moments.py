"""Times on Setup's pages."""

from datetime import UTC, datetime


def in_words(at: int) -> str:
    """An epoch second in UTC, for people: Nov 24, 2026, 05:58."""
    return datetime.fromtimestamp(at, UTC).strftime("%b %-d, %Y, %H:%M")
