"""Serving MCP by the ``mcp`` library behind our own gate, for every server that is hosted here: its life, and what a
handler knows of the call.
"""

import asyncio
from typing import Any

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel.server import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError
from starlette.types import Receive, Scope, Send

from gatelodge.core.permitting import Verdict
from gatelodge.gateway.caller import Caller
from gatelodge.gateway.writing_down import NOTED, Noted

CALLER = "gatelodge.caller"
LARGEST_BODY = 1024 * 1024
"""Bytes of a request, counted before anything parses it."""


class Serving:
    """One running server of the library."""

    def __init__(self, server: Server[Any], name: str) -> None:
        # Host, Origin and tokens are checked before a request comes here.
        self._manager = StreamableHTTPSessionManager(
            server, json_response=True, stateless=True, max_request_body_size=LARGEST_BODY
        )
        self._name = name
        self._running: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._under_way, self._is_quiet = 0, asyncio.Event()
        self._is_quiet.set()

    async def start(self) -> None:
        """Begin to answer."""
        ready = asyncio.Event()
        self._running = asyncio.create_task(self._run(ready), name=self._name)
        await ready.wait()

    async def _run(self, ready: asyncio.Event) -> None:
        """The library's task group must be left by the task that entered it."""
        async with self._manager.run():
            ready.set()
            await self._stopping.wait()

    async def stop(self) -> None:
        """End what is under way."""
        self._stopping.set()
        if self._running is not None:
            await self._running

    async def quiet(self) -> None:
        """Wait until nothing is under way."""
        await self._is_quiet.wait()

    async def serve(self, scope: Scope, receive: Receive, send: Send, caller: Caller) -> Noted:
        """Answer one HTTP request of a caller who has passed every check, and say what its record should hold."""
        noted: Noted = scope.get(NOTED) or Noted()
        self._under_way += 1
        self._is_quiet.clear()
        try:
            await self._manager.handle_request({**scope, CALLER: caller, NOTED: noted}, receive, send)
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._is_quiet.set()
        return noted


def caller_of(context: ServerRequestContext[Any]) -> Caller:
    """Who is calling."""
    assert context.request is not None  # the Streamable HTTP transport always has one
    return context.request.scope[CALLER]


def noted_of(context: ServerRequestContext[Any]) -> Noted:
    """What the record of the call shall hold."""
    assert context.request is not None
    return context.request.scope[NOTED]


def check(verdict: Verdict, noted: Noted) -> None:
    """Listing and calling ask one function. Raises ``MCPError`` for what isn't allowed."""
    if not verdict.is_allowed:
        noted.outcome = "refused"
        raise MCPError(types.INVALID_PARAMS, verdict.why)
    if verdict.missing_scopes:
        noted.outcome = "needs_scope"
        raise MCPError(types.INVALID_REQUEST, f"this call needs the scopes {' '.join(verdict.missing_scopes)}")
