"""Writing down a hosted server's calls: what was asked and how it ended, read off the bytes as they pass."""

import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gatelodge.core.calls import Call, recorded
from gatelodge.core.errors import Unavailable
from gatelodge.core.mcp_servers import McpServer
from gatelodge.gateway.caller import Caller
from gatelodge.web.errors import answer_for
from gatelodge.web.recording import TRACE_ID, trace_of
from gatelodge.web.site import Site

T = TypeVar("T")

MOST_READ = 1024 * 1024
"""Bytes of a request and of an answer that are looked at; more pass all the same."""
NOTED = "gatelodge.noted"
TOO_LARGE = 413


class Noted(msgspec.Struct):
    """What a hosted server adds to the record of a call, in the request's scope under ``NOTED``. It awaits ``admit``
    before it changes anything: that raises ``Unavailable`` where the call can't be written down. Kept here, it is answered
    with 503 in the place of what the server says.
    """

    rows: int = 0
    outcome: str = ""
    admit: Callable[[], Awaitable[None]] | None = None
    unavailable: Unavailable | None = None
    approval_id: str = ""


class Params(msgspec.Struct):
    """What a request names: a tool or a prompt with its arguments, or a resource."""

    name: str = ""
    uri: str = ""
    arguments: msgspec.Raw = msgspec.Raw(b"")


class Asked(msgspec.Struct):
    """A JSON-RPC request, as far as its record needs it."""

    method: str = ""
    params: Params = msgspec.field(default_factory=Params)


class Result(msgspec.Struct, rename="camel"):
    """A result, as far as its record needs it."""

    is_error: bool = False


class Answered(msgspec.Struct):
    """A JSON-RPC answer, as far as its record needs it."""

    error: msgspec.Raw = msgspec.Raw(b"")
    result: Result = msgspec.field(default_factory=Result)


ASKED = msgspec.json.Decoder(Asked)
ANSWERED = msgspec.json.Decoder(Answered)


def call_of(site: Site, server: McpServer, caller: Caller, arguments: bytes, **told: Any) -> Call:
    """The record of one call: who called which server, its arguments as the server has them recorded, and what is
    ``told`` of it (fields of ``Call``).
    """
    return Call(
        org_id=caller.org_id,
        app_id=caller.app_id,
        client_id=caller.client_id,
        user_id=caller.user_id,
        connection_id=caller.connection_id,
        server=server.name,
        arguments_digest=site.calls.digest(caller.org_id, arguments) if arguments else "",
        arguments=recorded(arguments, server.masked) if arguments and server.records_arguments else "",
        **told,
    )


class WrittenDown:
    """A server's answer to one caller, with the record of it."""

    def __init__(self, site: Site, server: McpServer, caller: Caller, answer: ASGIApp) -> None:
        self._site, self._server, self._caller, self._answer = site, server, caller, answer
        self._asked, self._answered = bytearray(), bytearray()
        self._bytes_in = self._bytes_out = self._status = 0
        self._noted, self._begun = Noted(), ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, and note how it went; also when the client is gone or the server failed."""
        began, at = time.perf_counter(), self._site.clock.now_ms()

        async def asked() -> Message:
            message = await receive()
            if message["type"] == "http.request":
                self._bytes_in = _keep(self._asked, message["body"], self._bytes_in)
            return message

        async def told(message: Message) -> None:
            if self._noted.unavailable and not self._status:
                return
            if message["type"] == "http.response.start":
                self._status = message["status"]
            else:
                self._bytes_out = _keep(self._answered, message.get("body", b""), self._bytes_out)
            await send(message)

        async def admit() -> None:
            self._begun = await self._site.calls.admit(self._call(at, 0, scope.get(TRACE_ID, "")), is_write=True)

        self._noted.admit = admit
        try:
            await self._answer({**scope, NOTED: self._noted}, asked, told)
            if self._noted.unavailable and not self._status:
                refused, self._noted.unavailable = self._noted.unavailable, None
                await answer_for(refused, Request(scope))(scope, receive, told)
        finally:
            duration_us = int((time.perf_counter() - began) * 1_000_000)
            self._site.calls.note(self._call(at, duration_us, scope.get(TRACE_ID, "")), self._begun)

    def _call(self, at: int, duration_us: int, trace_id: str) -> Call:
        asked = _decoded(ASKED, self._asked, Asked())
        return call_of(
            self._site,
            self._server,
            self._caller,
            bytes(asked.params.arguments),
            at=at,
            method=asked.method[:100],
            name=(asked.params.name or asked.params.uri)[:500],
            outcome=self._outcome(),
            status=self._status,
            duration_us=duration_us,
            bytes_in=self._bytes_in,
            bytes_out=self._bytes_out,
            rows=self._noted.rows,
            approval_id=self._noted.approval_id,
            trace_id=trace_id or trace_of(""),
        )

    def _outcome(self) -> str:
        if self._noted.outcome:
            return self._noted.outcome
        if not self._status:
            return "cancelled"
        if self._status >= 400:  # noqa: PLR2004
            return "too_large" if self._status == TOO_LARGE else "error"
        answered = _decoded(ANSWERED, self._answered, Answered())
        return "error" if answered.error else "tool_error" if answered.result.is_error else "ok"


def _keep(kept: bytearray, more: bytes, passed: int) -> int:
    """Keep a part of what passes; how many bytes have passed."""
    if len(kept) < MOST_READ:
        kept += more
    return passed + len(more)


def _decoded(decoder: msgspec.json.Decoder[T], raw: bytearray, otherwise: T) -> T:
    try:
        return decoder.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return otherwise  # refused as well, and written down all the same
