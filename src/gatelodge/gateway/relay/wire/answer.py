"""The answer to one request: its head, and its body as it comes."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Protocol

import msgspec

MOST_HELD = 64 * 1024
"""Bytes of a body that wait to be read; with more, nothing more is read from the upstream until they are."""


class Broken(ConnectionError):
    """The connection ended before the answer did. What was asked may have been received (decision 0050)."""


class NoHttp(ConnectionError):
    """What came is no answer of HTTP/1.1, or a larger head than an answer may have."""


class Times(msgspec.Struct, frozen=True):
    """Seconds to the head of an answer, between two pieces of its body, and for all of it. None: as long as it likes."""

    first_byte: float
    idle: float | None
    whole: float | None


class Source(Protocol):
    """What an answer is read from."""

    def pause(self) -> None:
        """Read no more for now."""

    def go_on(self) -> None:
        """Read on."""

    def abandon(self) -> None:
        """Nobody wants the rest."""


class Answer:
    """An answer whose head has come. ``headers`` are by lower-case name; of one that came several times, joined by commas.
    ``content_length`` is None where it isn't known.
    """

    def __init__(self, source: Source, begun: asyncio.Future[None]) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.content_length: int | None = None
        self.begun = begun
        self._source: Source | None = source
        self._held: list[bytes] = []
        self._size = 0
        self._failed: Exception | None = None
        self._waiting: asyncio.Future[None] | None = None
        self.has_come = False
        """Whether all of it has."""

    # --- for whoever reads it -------------------------------------------------------------------------------------

    def at_hand(self) -> bytes | None:
        """The whole body, if all of it has come and none of it was read; None otherwise."""
        if not self.has_come:
            return None
        held, self._held = self._held, []
        return held[0] if len(held) == 1 else b"".join(held)

    async def pieces(self) -> AsyncGenerator[bytes]:
        """The body as it comes. Raises ``Broken``, ``NoHttp`` and ``TimeoutError``, once all before that was read."""
        while True:
            if self._held:
                held, self._held, was_full, self._size = self._held, [], self._size > MOST_HELD, 0
                if was_full and self._source is not None:
                    self._source.go_on()
                yield held[0] if len(held) == 1 else b"".join(held)
            elif self._failed is not None:
                raise self._failed
            elif self.has_come:
                return
            else:
                self._waiting = asyncio.get_running_loop().create_future()
                await self._waiting

    def close(self) -> None:
        """Nobody reads it any more. Its connection is used again where all of it has come, and closed where it hasn't."""
        if self._source is not None:
            self._source.abandon()

    # --- for the connection ---------------------------------------------------------------------------------------

    def take(self, piece: bytes) -> None:
        """A piece of the body."""
        self._held.append(piece)
        self._size += len(piece)
        if self._size > MOST_HELD and self._source is not None:
            self._source.pause()
        self._wake()

    def end(self, error: Exception | None = None) -> None:
        """No more comes: the body is whole, or something went wrong."""
        self._source, self._failed, self.has_come = None, error, error is None
        if not self.begun.done():
            if error is None:
                self.begun.set_result(None)
            else:
                self.begun.set_exception(error)
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
