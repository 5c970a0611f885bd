"""One HTTP exchange with a client: what is sent to it is counted, and what the record of the call is made from is kept."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gatelodge.gateway.caller import Caller
from gatelodge.gateway.relay import words
from gatelodge.gateway.relay.header_values import by_name
from gatelodge.gateway.relay.inbound import NULL, Inbound, Refused, error
from gatelodge.gateway.relay.upstream import Answer, Credential, Failed, Given, Line

WATCH_AFTER = 0.05
"""Seconds, once or twice, after which somebody looks whether the client is still there: most calls are over by then, and
cost no task.
"""
SLOW_SECONDS = 30.0
"""How long a client may take to read what was sent to it before an open stream is ended."""
EVENT_HEADERS = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
]


class Done(msgspec.Struct, kw_only=True):
    """What became of one exchange. Sizes in bytes, times in milliseconds; ``error`` is for the log and the record.
    ``has_drifted``: the upstream listed something that is not defined as it was when an administrator looked at it.
    """

    outcome: str = "ok"
    http_status: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    method: str = ""
    name: str = ""
    upstream_ms: float = 0.0
    duration_us: int = 0
    error: str = ""
    has_drifted: bool = False


Later = Callable[[Coroutine[Any, Any, None]], object]
"""Has something done that no client waits for."""


class Exchange:
    """A request that is being answered. ``given`` is what the upstream gets from us for this caller, ``now`` the time of
    day in seconds.
    """

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, caller: Caller, line: Line, *, now: float, later: Later
    ) -> None:
        self.now, self.later = now, later
        self.given: Given = {}
        self.credential: Credential | None = None
        self.task: asyncio.Task[Any] | None = None
        self.watching: asyncio.Task[None] | None = None
        self.ended = ""
        self.sent: list[tuple[bytes, bytes]] = scope["headers"]
        self._scope = scope
        self.headers: Mapping[bytes, bytes] = by_name(self.sent)
        self.method: str = scope["method"]
        self.receive, self._send = receive, send
        self.caller, self.line = caller, line
        self.inbound = Inbound(is_modern=False, version="", top={})
        self.done = Done()
        self.has_started = self.is_stream = self.is_renewed = False
        self.session_id: bytes = b""

    def end(self, why: str) -> None:
        """End it from outside: the client has left, or what it stands on has ended."""
        if self.task is not None and not self.ended:
            self.ended = why
            self.task.cancel()

    def note_drift(self) -> None:
        """The upstream has changed what it offers since somebody looked."""
        self.done.has_drifted = True

    @property
    def is_callers_own(self) -> bool:
        """Whether the answer says for whom it may be kept and is passed as it comes: who may read it depends on us."""
        return self.inbound.is_modern and self.inbound.method == "resources/read"

    @property
    def is_listening(self) -> bool:
        """Whether this is a stream that stays open for as long as both sides like."""
        return self.method == "GET" or self.inbound.method == words.LISTEN

    @property
    def loop_time(self) -> float:
        """A time in seconds that only goes forward."""
        return asyncio.get_running_loop().time()

    async def sent_on(self, method: str, headers: dict[str, str], body: bytes, *, waits: bool = False) -> Answer:
        """Send what the client asked for to the upstream, once. ``waits``: its answer may pause for as long as a person
        thinks. Raises ``Failed``.
        """
        begun = self.loop_time
        try:
            answer = await self.line.send(method, headers, body, waits=waits)
            # What was answered with 401 was not done: it may be sent again with a credential that was fetched anew.
            if answer.status == 401 and await self.renew():  # noqa: PLR2004
                answer.close()
                answer = await self.line.send(method, {**headers, **self.given}, body, waits=waits)
        finally:
            self.done.upstream_ms += (self.loop_time - begun) * 1000
        return answer

    async def renew(self) -> bool:
        """Have what the upstream answered with 401 fetched anew. True where there is another credential, and once."""
        if self.is_renewed or not self.given or self.credential is None:
            return False
        self.is_renewed, refused = True, self.given
        self.given = await self.credential(self.caller, refused)
        return self.given != refused

    async def start(
        self, status: int, headers: list[tuple[bytes, bytes]], *, is_stream: bool = False
    ) -> None:  # fmt: skip
        """Send the head of the answer."""
        if self.session_id:
            headers = [*headers, (b"mcp-session-id", self.session_id)]
        self.has_started, self.is_stream, self.done.http_status = True, is_stream, status
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def start_events(self) -> None:
        """Send the head of an event stream."""
        await self.start(200, EVENT_HEADERS, is_stream=True)

    async def write(self, chunk: bytes, *, is_last: bool = False) -> None:
        """Send a piece of the body. A client that doesn't read holds up its own answer, for so long and no longer."""
        self.done.bytes_out += len(chunk)
        await self._send({"type": "http.response.body", "body": chunk, "more_body": not is_last})

    async def write_event(self, event: bytes) -> None:
        """Send an event on an open stream. Raises ``TimeoutError`` when the client reads nothing for too long."""
        async with asyncio.timeout(SLOW_SECONDS):
            await self.write(event)

    async def answer(self, status: int, body: bytes, headers: list[tuple[bytes, bytes]] | None = None) -> None:
        """Send a whole answer: JSON, or nothing."""
        said = [(b"cache-control", b"no-store"), (b"content-length", str(len(body)).encode()), *(headers or ())]
        if body:
            said.append((b"content-type", b"application/json"))
        await self.start(status, said)
        await self.write(body, is_last=True)

    async def hand_over(self, answer: ASGIApp) -> None:
        """Have another application answer."""

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.has_started, self.done.http_status = True, message["status"]
            else:
                self.done.bytes_out += len(message.get("body", b""))
            await self._send(message)

        self.done.outcome = "refused"
        await answer(self._scope, self.receive, counted)

    async def finish(self, message: bytes, status: int = 200) -> None:
        """Answer the request with one message: as its last event where a stream was begun, as JSON where none was."""
        if not self.is_stream:
            await self.answer(status, message)
            return
        await self.write(b"event: message\ndata: " + message + b"\n\n", is_last=True)

    async def refuse(self, refused: Refused, outcome: str = "refused") -> None:
        """Tell a client that its request goes no further."""
        self.done.outcome, self.done.error = outcome, refused.message
        await self.finish(refused.body, refused.status)

    async def fail(self, failed: Failed) -> None:
        """Tell a client what became of its request at the upstream, in a JSON-RPC error that names who can mend it."""
        self.done.outcome, self.done.error = failed.outcome, failed.why
        if self.has_started and not self.is_stream:
            return  # half an answer: the connection is closed after it
        data = {"server": self.line.upstream.name, **failed.data}
        body = error(self.inbound.id if self.inbound.is_request else NULL, words.INTERNAL_ERROR, failed.why, data)
        if self.is_stream:
            await self.finish(body)
            return
        headers = [(b"retry-after", str(failed.retry_after).encode())] if failed.retry_after else None
        await self.answer(failed.status, body, headers)
