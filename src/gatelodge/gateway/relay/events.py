"""Server-sent events, taken apart and put together (HTML Living Standard §9.2)."""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator

import msgspec

BLANK = re.compile(rb"(?:\r\n|\n|\r(?!\n)){2}")
LINE = re.compile(rb"\r\n|\n|\r")
MARK = b"\xef\xbb\xbf"
"""What a stream may begin with, to say that it is UTF-8, and is nothing of its first line."""
KEPT = 4
"""Bytes at the end of what was searched that may be the beginning of a blank line."""


class TooLarge(Exception):
    """An event, or an answer, has more bytes than this server may send."""


class Event(msgspec.Struct, frozen=True):
    """One event as it came, and the data in it."""

    raw: bytes
    data: bytes
    id: bytes | None = None


async def events(chunks: AsyncIterable[bytes], largest: int) -> AsyncGenerator[Event]:
    """The events of a stream. Raises ``TooLarge`` for one of more than ``largest`` bytes."""
    held = bytearray()
    searched = 0
    is_first = True
    async for chunk in chunks:
        held += chunk
        if is_first and len(held) >= len(MARK):
            is_first = False
            held = held.removeprefix(MARK)
        while (found := BLANK.search(held, max(0, searched - KEPT))) is not None:
            raw = bytes(held[: found.end()])
            del held[: found.end()]
            searched = 0
            yield read(raw)
        searched = len(held)
        if searched > largest:
            raise TooLarge


class Following:
    """The messages of an answer, of which the next one can be awaited for a while and no longer; it isn't lost then."""

    def __init__(self, source: AsyncIterator[Event]) -> None:
        self._source = source
        self._next: asyncio.Future[Event | None] | None = None

    async def next(self, seconds: float | None = None) -> Event | None:
        """The next one; None at the end, and where none came in these seconds. Raises what reading raises."""
        if seconds is None and self._next is None:
            return await anext(self._source, None)
        following = self._next = self._next or asyncio.ensure_future(anext(self._source, None))
        done, _ = await asyncio.wait({following}, timeout=seconds)
        if not done:
            return None
        self._next = None
        return following.result()

    def stop(self) -> None:
        """Nobody waits for another one."""
        if self._next is not None:
            _ = self._next.cancel()


def read(raw: bytes) -> Event:
    """One event from its lines. Comments and unknown fields have no data."""
    data: list[bytes] = []
    event_id: bytes | None = None
    for line in LINE.split(raw):
        field, _, value = line.partition(b":")
        if field == b"data":
            data.append(value.removeprefix(b" "))
        elif field == b"id":
            event_id = value.removeprefix(b" ")
    return Event(raw, b"\n".join(data), event_id)


def written(data: bytes, id: bytes | None = None) -> bytes:
    """An event that carries one message. JSON that came over several lines is put on as many."""
    head = b"" if id is None else b"id: " + id + b"\n"
    return b"event: message\n" + head + b"data: " + data.replace(b"\n", b"\ndata: ") + b"\n\n"
