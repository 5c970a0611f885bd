"""A command's answer in the shape that the relay reads an upstream's in: a status, headers, and a body as it comes."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable

from gatelodge.gateway.relay import words
from gatelodge.gateway.relay.events import TooLarge, written


class Inbox:
    """Messages on their way to one client: so many bytes, and no more."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: deque[bytes] = deque()
        self._size = 0
        self._failed: Exception | None = None
        self._is_over = False
        self._changed = asyncio.Event()

    def put(self, message: bytes, *, is_last: bool = False) -> None:
        """One more message. A client that reads too slowly for what is sent to it is given up."""
        if self._is_over:
            return
        if self._size + len(message) > self._most:
            self.fail(TooLarge())
            return
        self._held.append(message)
        self._size += len(message)
        self._is_over = is_last
        self._changed.set()

    def fail(self, error: Exception | None = None) -> None:
        """No more will come; with an error where that is one."""
        if not self._is_over:
            self._is_over, self._failed = True, error
            self._changed.set()

    async def next(self) -> bytes | None:
        """The next message, None when there are no more. Raises what it failed with, once all before that was read."""
        while not self._held:
            if self._failed is not None:
                raise self._failed
            if self._is_over:
                return None
            self._changed.clear()
            await self._changed.wait()
        message = self._held.popleft()
        self._size -= len(message)
        return message

    @property
    def is_last(self) -> bool:
        """Whether what was read last was the last."""
        return self._is_over and not self._held and self._failed is None


class Answer:
    """What the relay reads of an answer. ``let_go`` is called once, when nobody reads it any more."""

    def __init__(
        self,
        status: int,
        *,
        kind: str = "",
        pieces: AsyncGenerator[bytes] | None = None,
        length: int | None = 0,
        session_id: str = "",
        let_go: Callable[[], None] | None = None,
    ) -> None:
        self.status, self.content_length = status, length
        self.headers = {"content-type": kind} if kind else {}
        if session_id:
            self.headers["mcp-session-id"] = session_id
        self._pieces, self._let_go = pieces, let_go

    def at_hand(self) -> bytes | None:
        """Of a child's answer nothing is known before it is read."""
        return b"" if self._pieces is None else None

    async def pieces(self) -> AsyncGenerator[bytes]:
        """The body, piece by piece."""
        if self._pieces is not None:
            async for piece in self._pieces:
                yield piece

    def close(self) -> None:
        """Nobody reads it any more."""
        if self._let_go is not None:
            let_go, self._let_go = self._let_go, None
            let_go()


def whole(message: bytes, status: int = 200, session_id: str = "") -> Answer:
    """An answer of one message."""

    async def chunks() -> AsyncGenerator[bytes]:
        yield message

    return Answer(status, kind=words.JSON, pieces=chunks(), length=len(message), session_id=session_id)


def streamed(inbox: Inbox, let_go: Callable[[], None], first: bytes | None = None, idle: float | None = None) -> Answer:
    """An answer of messages as they come, as an event stream. ``idle`` are the seconds of silence that it may have."""

    async def chunks() -> AsyncGenerator[bytes]:
        if first is not None:
            yield written(first)
        while True:
            async with asyncio.timeout(idle):
                message = await inbox.next()
            if message is None:
                return
            yield written(message)

    return Answer(200, kind=words.EVENTS, pieces=chunks(), length=None, let_go=let_go)
